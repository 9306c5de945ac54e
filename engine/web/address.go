package web

import (
	"errors"
	"fmt"
	"net"
	"os"

	toolkit "github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v2"
)

// resolve returns the address to listen on. One that others than this host can
// reach needs TLS and a proof of who asks.
func resolve(address, webConfig string) (*net.TCPAddr, error) {
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--web %s is no address to listen on: %w; give one as in --web 127.0.0.1:9632", address, err)
	}
	if err := toolkit.Validate(webConfig); err != nil {
		return nil, fmt.Errorf("--web-config %s: %w", webConfig, err)
	}
	if addr.IP.IsLoopback() {
		return addr, nil
	}
	if err := secured(webConfig); err != nil {
		return nil, fmt.Errorf("the web page is not served on %s, which other hosts can reach: %w; "+
			"serve it on 127.0.0.1 and reach it through ssh -L, or give --web-config a file with tls_server_config and basic_auth_users", address, err)
	}
	return addr, nil
}

// secured reports what a web configuration lacks for strangers to be kept out.
func secured(path string) error {
	if path == "" {
		return errors.New("there is no --web-config")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var c toolkit.Config
	if err := yaml.Unmarshal(text, &c); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case !c.TLSConfig.IsEnabled():
		return fmt.Errorf("%s asks for no TLS", path)
	case len(c.Users) == 0 && c.TLSConfig.ClientAuth != "RequireAndVerifyClientCert":
		return fmt.Errorf("%s asks for neither a password nor a client's certificate", path)
	}
	return nil
}
