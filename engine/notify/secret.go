package notify

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// credentials begins the name of a file that systemd hands over, as by LoadCredential=.
const credentials = "$CREDENTIALS_DIRECTORY/"

// secret is a value that is written down, in a file, or in the environment. Its errors do not tell it.
func secret(key, plain, file, env string) (string, error) {
	given := 0
	for _, s := range []string{plain, file, env} {
		if s != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return "", fmt.Errorf("%s is given more than once: only one of %s, %s_file and %s_env", key, key, key, key)
	case file != "":
		text, err := readFile(file)
		if err != nil {
			return "", fmt.Errorf("%s_file: %w", key, err)
		}
		plain = strings.TrimSpace(string(text))
	case env != "":
		plain = os.Getenv(env)
	}
	if given > 0 && plain == "" {
		return "", fmt.Errorf("%s is empty", key)
	}
	return plain, nil
}

func readFile(name string) ([]byte, error) {
	if rest, ok := strings.CutPrefix(name, credentials); ok {
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return nil, fmt.Errorf("%s: no credentials were handed over: the unit needs a line such as LoadCredential=%s:/etc/moonlatch/%s", name, rest, rest)
		}
		name = filepath.Join(dir, rest)
	}
	return os.ReadFile(name)
}

// trusted is how to speak TLS with a server: as this host trusts it, or with a
// file of certificates, as those in it vouch for it.
func trusted(caFile, server string) (*tls.Config, error) {
	c := &tls.Config{ServerName: server, MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return c, nil
	}
	text, err := readFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(text) {
		return nil, errors.New("ca_file holds no certificate: it is a file of PEM blocks that begin with -----BEGIN CERTIFICATE-----")
	}
	return c, nil
}

// onHost reports whether what is sent to a host does not leave this one.
func onHost(name string) bool {
	a, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && a.IsLoopback()
}
