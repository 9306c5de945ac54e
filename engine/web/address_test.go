package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The password is "moonlight".
const users = "basic_auth_users:\n  ann: $2a$04$b1hGbsQ/iyyi0D41R3DvBucNDXKUg53hruNPKZu7A85UpnYbZ8z/q\n"

const secure = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"

// TestAddress: what others can reach takes TLS and a proof of who asks.
func TestAddress(t *testing.T) {
	dir := certificate(t)
	for _, tt := range []struct{ address, config, want string }{
		{"127.0.0.1:0", "", ""},
		{"localhost:0", "", ""},
		{"[::1]:0", "", ""},
		{"127.8.9.10:0", "", ""},
		{"127.0.0.1:0", secure + users, ""},
		{"0.0.0.0:0", secure + users, ""},
		{":0", secure + users, ""},
		{"192.0.2.1:9632", secure + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: cert.pem\n", ""},
		{"0.0.0.0:0", "", "there is no --web-config"},
		{":0", "", "there is no --web-config"},
		{"[::]:0", "", "other hosts can reach"},
		{"192.0.2.1:9632", "", "ssh -L"},
		{"192.0.2.1:9632", secure, "neither a password nor a client's certificate"},
		{"192.0.2.1:9632", secure + "  client_auth_type: RequestClientCert\n", "neither a password"},
		{"192.0.2.1:9632", users, "asks for no TLS"},
		{"192.0.2.1:9632", "tls_server_config:\n  cert_file: missing.pem\n", "--web-config"},
		{"9632", "", "no address to listen on"},
		{"127.0.0.1:x", "", "no address to listen on"},
	} {
		path := ""
		if tt.config != "" {
			path = filepath.Join(dir, "web.yml")
			if err := os.WriteFile(path, []byte(tt.config), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		addr, err := resolve(tt.address, path)
		if tt.want == "" && (err != nil || addr == nil) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s with %q: %v, want %q", tt.address, tt.config, err, tt.want)
		}
	}
}

// TestTaken: the error of an address in use says what to do.
func TestTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(&memory{}, Config{Address: l.Addr().String(), Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "give another address with --web") {
		t.Errorf("%v", err)
	}
}

// TestSecured: over TLS the password is asked for, by any name of the host; and the token as well.
func TestSecured(t *testing.T) {
	dir := certificate(t)
	config := filepath.Join(dir, "web.yml")
	if err := os.WriteFile(config, []byte(secure+users), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serveWith(t, Config{Address: "0.0.0.0:0", WebConfig: config})
	_, port, _ := net.SplitHostPort(p.Addr().String())
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	for _, tt := range []struct {
		method, path, password, token string
		want                          int
	}{
		{"GET", "/", "", "", 401},
		{"GET", "/api/status", "", "", 401},
		{"GET", "/api/status", "wrong", "", 401},
		{"GET", "/api/status", "moonlight", "", 200},
		{"POST", "/api/confirm", "", p.token, 401},
		{"POST", "/api/confirm", "moonlight", "", 403},
		{"POST", "/api/confirm", "moonlight", p.token, 200},
	} {
		req, err := http.NewRequest(tt.method, "https://127.0.0.1:"+port+tt.path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "firewall.example:" + port
		if tt.password != "" {
			req.SetBasicAuth("ann", tt.password)
		}
		req.Header.Set(tokenHeader, tt.token)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s %s, password %q, token %q: %d, want %d", tt.method, tt.path, tt.password, tt.token, resp.StatusCode, tt.want)
		}
	}
}

// certificate makes a folder with a certificate and its key.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"firewall.example"}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
