package web

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// tokenFile holds, in the state directory, what a page has to show to change anything.
const tokenFile = "web.token"

// ErrNoToken means that no token was made yet.
var ErrNoToken = errors.New("no token was made yet")

// ReadToken returns the token of a state directory, or ErrNoToken.
func ReadToken(state string) (string, error) {
	text, err := os.ReadFile(filepath.Join(state, tokenFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNoToken
	}
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < 16 {
		return "", fmt.Errorf("token: %s is damaged; make a new one with moonlatch web token --new", filepath.Join(state, tokenFile))
	}
	return token, nil
}

// NewToken makes a token, in place of any that was there: pages that show the
// old one can change nothing from now on.
func NewToken(state string) (token string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("token: %w", err)
		}
	}()
	if err := os.MkdirAll(state, 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(state, tokenFile+".*") // with mode 0600
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name()) // which is nothing, once it has its name
	token = rand.Text()
	_, err = fmt.Fprintln(f, token)
	if err := errors.Join(err, ownedAs(f, state), f.Sync(), f.Close()); err != nil {
		return "", err
	}
	return token, os.Rename(f.Name(), filepath.Join(state, tokenFile))
}

// ownedAs gives a file to the owner of the state directory: the daemon, which may
// be another user than the one who runs the command.
func ownedAs(f *os.File, state string) error {
	info, err := os.Stat(state)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() {
		return nil
	}
	return f.Chown(int(owner.Uid), int(owner.Gid))
}

// matches compares in a time that does not tell how much of a token was right.
func matches(shown, token string) bool {
	return subtle.ConstantTimeCompare([]byte(shown), []byte(token)) == 1
}
