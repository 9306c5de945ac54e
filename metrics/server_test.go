package metrics

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moonlatch/engine"
)

// serve runs a server on a free port of loopback until the test ends.
func serve(t *testing.T, source Source, webConfig string) *Server {
	t.Helper()
	s, err := Listen(New(), source, Config{Address: "127.0.0.1:0", WebConfig: webConfig, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// get returns status, content type and body of a page; the status is 0 where there is none.
func get(t *testing.T, client *http.Client, req *http.Request) (status int, contentType, body string) {
	t.Helper()
	client.Timeout = 30 * time.Second
	res, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, res.Header.Get("Content-Type"), string(text)
}

func request(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestServe(t *testing.T) {
	s := serve(t, busy(), "")
	for _, tt := range []struct {
		path, accept      string
		status            int
		contentType, want string
	}{
		{"/metrics", "", 200, "text/plain; version=0.0.4", "\nmoonlatch_banned_packets_total{family=\"ipv4\"} 20\n"},
		{"/metrics", "", 200, "text/plain; version=0.0.4", "\nmoonlatch_build_info{"},
		{"/metrics", "", 200, "text/plain; version=0.0.4", "\nprocess_open_fds "},
		{"/metrics", "", 200, "text/plain; version=0.0.4", "\npromhttp_metric_handler_errors_total{cause=\"gathering\"} 0\n"},
		{"/metrics", "application/openmetrics-text; version=1.0.0", 200, "application/openmetrics-text; version=1.0.0", "# EOF"},
		{"/", "", 200, "text/html", `href="/metrics"`},
		{"/elsewhere", "", 404, "text/plain", "not found"},
	} {
		req := request(t, "http://"+s.Addr().String()+tt.path)
		if tt.accept != "" {
			req.Header.Set("Accept", tt.accept)
		}
		status, contentType, body := get(t, &http.Client{}, req)
		if status != tt.status || !strings.HasPrefix(contentType, tt.contentType) || !strings.Contains(body, tt.want) {
			t.Errorf("%s: %d, %s; want %d, %s and %q in\n%s", tt.path, status, contentType, tt.status, tt.contentType, tt.want, body)
		}
	}
}

// TestServeStops: also with a connection open, and before it ever ran.
func TestServeStops(t *testing.T) {
	s, err := Listen(New(), busy(), Config{Address: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	if conn, err := net.Dial("tcp", s.Addr().String()); err == nil {
		conn.Close()
		t.Error("the address is still open")
	}
}

func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	folder := t.TempDir()
	junk := filepath.Join(folder, "junk.yml")
	if err := os.WriteFile(junk, []byte("tls: yes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cfg  Config
		want []string
	}{
		{"taken", Config{Address: taken.Addr().String()}, []string{taken.Addr().String(), "address already in use", "--metrics"}},
		{"no port", Config{Address: "127.0.0.1"}, []string{"127.0.0.1", "missing port", "--metrics"}},
		{"no such file", Config{WebConfig: filepath.Join(folder, "none.yml")}, []string{"--web-config", "none.yml", "no such file"}},
		{"not a web configuration", Config{WebConfig: junk}, []string{"--web-config", "junk.yml", "field tls not found"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Log = slog.New(slog.DiscardHandler)
			s, err := Listen(New(), busy(), tt.cfg)
			if err == nil {
				t.Fatalf("listens on %s", s.Addr())
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q says nothing of %q", err, want)
				}
			}
		})
	}
}

// TestWebConfig: TLS and a password, as the Prometheus exporter-toolkit has them.
func TestWebConfig(t *testing.T) {
	folder := t.TempDir()
	trusted := writeCertificate(t, folder)
	config := filepath.Join(folder, "web.yml")
	// The hash is bcrypt's of "correct horse".
	err := os.WriteFile(config, []byte(`
tls_server_config: { cert_file: tls.crt, key_file: tls.key }
basic_auth_users: { prometheus: "$2a$04$H9c9pJEe8LlR960/kE2fgeg61WdH6FLRdQMKFU.Vveod9YTa56dlS" }
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, busy(), config)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for _, tt := range []struct {
		name, password string
		status         int
	}{{"right", "correct horse", 200}, {"wrong", "battery staple", 401}, {"none", "", 401}} {
		req := request(t, "https://"+s.Addr().String()+"/metrics")
		if tt.password != "" {
			req.SetBasicAuth("prometheus", tt.password)
		}
		status, _, body := get(t, client, req)
		if told := strings.Contains(body, "moonlatch_up"); status != tt.status || told != (tt.status == 200) {
			t.Errorf("%s password: %d, metrics told: %t", tt.name, status, told)
		}
	}
	if status, _, body := get(t, &http.Client{}, request(t, "http://"+s.Addr().String()+"/metrics")); status == 200 || strings.Contains(body, "moonlatch_up") {
		t.Errorf("without TLS: %d %s", status, body)
	}
}

// writeCertificate makes a certificate for 127.0.0.1 and returns who trusts it.
func writeCertificate(t *testing.T, folder string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{
		"tls.crt": public,
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	return pool
}

// slow is a Source that waits, as the kernel may with very many rules.
type slow chan struct{}

func (s slow) Snapshot() engine.Snapshot {
	<-s
	return busy().Snapshot()
}

// TestScrapesAreLimited: whoever scrapes in a loop must not pile up work.
func TestScrapesAreLimited(t *testing.T) {
	const more = 3
	source := make(slow)
	url := "http://" + serve(t, source, "").Addr().String() + "/metrics"
	statuses := make(chan int, maxScrapes+more)
	for range maxScrapes + more {
		go func() {
			status, _, _ := get(t, &http.Client{}, request(t, url))
			statuses <- status
		}()
	}
	for range more {
		if status := <-statuses; status != http.StatusServiceUnavailable {
			t.Errorf("%d while %d others wait, want 503", status, maxScrapes)
		}
	}
	close(source)
	for range maxScrapes {
		if status := <-statuses; status != http.StatusOK {
			t.Errorf("%d, want 200", status)
		}
	}
}
