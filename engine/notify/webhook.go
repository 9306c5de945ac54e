package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"moonlatch/engine/feed"
)

// message is one notice, as people read it.
type message struct {
	title, body string
	item        feed.Item
}

// sender sends a message. An error that trying again cannot help is errPermanent. No error tells a secret.
type sender interface {
	send(ctx context.Context, m message) error
}

var errPermanent = errors.New("refused for good")

// webhook posts messages in a format that a service takes.
type webhook struct {
	format, token, room string
	url                 *url.URL
	client              *http.Client
}

func newWebhook(format string, u *url.URL, token, room string, trust *tls.Config, timeout time.Duration) *webhook {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = trust
	return &webhook{format: format, url: u, token: token, room: room, client: &http.Client{
		Transport: transport, Timeout: timeout,
		// A redirect would take the message, and the token, to where nobody has said.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (w *webhook) send(ctx context.Context, m message) error {
	req, err := w.request(ctx, m)
	if err != nil {
		return err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		var with *url.Error // which names the URL, a secret
		if errors.As(err, &with) {
			err = with.Err
		}
		return fmt.Errorf("the webhook does not answer: %w", err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be used again
	switch code := resp.StatusCode; {
	case code < 300:
		return nil
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		return fmt.Errorf("the webhook answers %s", resp.Status)
	}
	return fmt.Errorf("the webhook answers %s: %w", resp.Status, errPermanent)
}

// request is a message in the webhook's format.
func (w *webhook) request(ctx context.Context, m message) (*http.Request, error) {
	method, to, kind := http.MethodPost, *w.url, "application/json"
	var body any
	switch w.format {
	case "json":
		body = struct {
			APIVersion string    `json:"apiVersion"`
			Title      string    `json:"title"`
			Text       string    `json:"text"`
			Item       feed.Item `json:"item"`
		}{"moonlatch/v1", m.title, m.body, m.item}
	case "slack":
		escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
		body = map[string]string{"text": "*" + escape.Replace(m.title) + "*\n" + escape.Replace(m.body)}
	case "matrix":
		method = http.MethodPut
		to = *to.JoinPath("_matrix/client/v3/rooms", url.PathEscape(w.room), "send/m.room.message", "moonlatch-"+strconv.FormatUint(m.item.ID, 10))
		body = map[string]string{"msgtype": "m.text", "body": m.title + "\n" + m.body}
	}
	content := []byte(m.body)
	if body != nil {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(body); err != nil {
			return nil, err
		}
		content = b.Bytes()
	} else {
		kind = "text/plain; charset=utf-8"
	}
	req, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(content))
	if err != nil {
		return nil, errors.New("the webhook's address cannot be asked")
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("User-Agent", "moonlatch")
	if w.format == "ntfy" {
		req.Header.Set("Title", strings.Map(oneLine, m.title))
	}
	if w.token != "" {
		req.Header.Set("Authorization", "Bearer "+w.token)
	}
	return req, nil
}

// oneLine keeps a header one line of ASCII.
func oneLine(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}
