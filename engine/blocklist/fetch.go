package blocklist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Bounds of a fetch.
const (
	maxContent   = 64 << 20 // bytes
	maxRedirects = 5
	fetchTime    = 2 * time.Minute
)

// errUnchanged means that the copy at hand is the newest.
var errUnchanged = errors.New("unchanged")

// fetch gets a list's content, or errUnchanged, and notes in st by what to ask the next time.
func fetch(ctx context.Context, spec Spec, st *State) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	if spec.File != "" {
		return spec.readFile(st)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, spec.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "moonlatch")
	if st.ETag != "" {
		req.Header.Set("If-None-Match", st.ETag)
	}
	if st.Modified != "" {
		req.Header.Set("If-Modified-Since", st.Modified)
	}
	client := http.Client{CheckRedirect: func(req *http.Request, via []*http.Request) error {
		switch {
		case len(via) > maxRedirects:
			return fmt.Errorf("more than %d redirects", maxRedirects)
		case req.URL.Scheme != "https" && !spec.HTTP:
			return fmt.Errorf("it is redirected to %s, which is not https", req.URL)
		}
		return nil
	}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch typ := resp.Header.Get("Content-Type"); {
	case resp.StatusCode == http.StatusNotModified:
		return nil, errUnchanged
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the server answered %s", resp.Status)
	case strings.HasPrefix(typ, "text/html"):
		return nil, errors.New("it is an HTML page, not a list of addresses")
	}
	content, err := readAll(resp.Body)
	if err == nil {
		st.ETag, st.Modified = resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	}
	return content, err
}

// Read reads the file of a list that has one, as it is now.
func (s Spec) Read() ([]byte, error) { return s.readFile(&State{}) }

// readFile reads a list that somebody else puts on this host, unless st tells that it is the one that was read last.
func (s Spec) readFile(st *State) ([]byte, error) {
	f, err := s.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", s.source())
	}
	modified := fmt.Sprintf("%s %d", info.ModTime().UTC().Format(time.RFC3339Nano), info.Size())
	if modified == st.Modified {
		return nil, errUnchanged
	}
	content, err := readAll(f)
	if err == nil {
		st.Modified = modified
	}
	return content, err
}

// open opens the file, and waits for nobody, as opening a named pipe would.
func (s Spec) open() (*os.File, error) {
	const mode = os.O_RDONLY | syscall.O_NONBLOCK
	if filepath.IsAbs(s.File) {
		return os.OpenFile(s.File, mode, 0)
	}
	if s.Folder == "" {
		return nil, fmt.Errorf("%s is in the policy's folder, and where that is on this host is not known", s.File)
	}
	root, err := os.OpenRoot(s.Folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.OpenFile(s.File, mode, 0)
}

func readAll(r io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxContent+1))
	if err == nil && len(content) > maxContent {
		err = fmt.Errorf("it has more than %d MB", maxContent>>20)
	}
	return content, err
}
