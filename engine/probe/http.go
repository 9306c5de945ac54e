package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// get asks for a URL. The answer of the host that it names is what counts: no
// proxy is asked, and no redirection followed.
type get struct {
	url    string
	status int // that must be answered; 0: any below 500
}

func parseHTTP(target string) (attempt, error) {
	if !strings.HasPrefix(target, "http://") && !strings.HasPrefix(target, "https://") {
		return nil, errors.New("no URL: write http://HOST/PATH or https://HOST/PATH")
	}
	u, err := url.Parse(target)
	if err != nil {
		var syntax *url.Error
		if errors.As(err, &syntax) {
			err = syntax.Err
		}
		return nil, err
	}
	if u.User != nil {
		return nil, errors.New("a probe's URL cannot hold a user or a password, since it stands in logs")
	}
	if u.Host, err = urlHost(u); err != nil {
		return nil, err
	}
	g := get{}
	if u.Fragment != "" {
		if g.status, err = strconv.Atoi(u.Fragment); err != nil || g.status < 200 || g.status > 599 {
			return nil, fmt.Errorf("#%s is no status: a number from 200 to 599 is expected", u.Fragment)
		}
	}
	u.Fragment, u.RawFragment = "", ""
	g.url = u.String()
	return g, nil
}

// urlHost checks a URL's host and port and writes them again.
func urlHost(u *url.URL) (string, error) {
	if u.Port() != "" {
		e, err := parseEndpoint(u.Host)
		return e.String(), err
	}
	h, err := parseHost(u.Hostname())
	return h.String(), err
}

func (g get) String() string {
	if g.status == 0 {
		return g.url
	}
	return g.url + "#" + strconv.Itoa(g.status)
}

func (g get) run(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "moonlatch")
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	switch {
	case g.status != 0 && resp.StatusCode != g.status:
		return fmt.Errorf("answered %s, and %d is wanted,", resp.Status, g.status)
	case g.status == 0 && resp.StatusCode >= 500:
		return fmt.Errorf("answered %s", resp.Status)
	}
	return nil
}
