package metrics

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
	client.Timeout = time.Minute
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

// TestStopBeforeStart: a daemon may fail before the server ever runs.
func TestStopBeforeStart(t *testing.T) {
	s, err := Listen(New(), busy(), Config{Address: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	isClosed(t, s)
}

// TestStopDuringScrape: a scrape that never ends must not keep the daemon alive.
func TestStopDuringScrape(t *testing.T) {
	source := newSlow()
	defer close(source.answer)
	s, err := Listen(New(), source, Config{Address: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-source.asked
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still open")
	}
	isClosed(t, s)
}

// TestWebConfigLost: the file vanishes between Listen and Run.
func TestWebConfigLost(t *testing.T) {
	config := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Listen(New(), busy(), Config{Address: "127.0.0.1:0", WebConfig: config, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "web.yml") {
		t.Errorf("Run: %v, want it to name the file", err)
	}
	isClosed(t, s)
}

func isClosed(t *testing.T, s *Server) {
	t.Helper()
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

// TestOneBadMetric hides itself, is counted and told, and hides no other.
func TestOneBadMetric(t *testing.T) {
	r := prometheus.NewRegistry()
	bad := prometheus.NewDesc("bad", "Bad.", nil, nil)
	r.MustRegister(broken{prometheus.NewInvalidMetric(bad, errors.New("spoilt"))})
	if err := New().register(r, busy()); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	h, err := newHandler(scrapes(r, slog.New(slog.NewTextHandler(&log, nil))))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nmoonlatch_up 1\n", "\npromhttp_metric_handler_errors_total{cause=\"gathering\"} 1\n"} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%q is missing in\n%s", want, rec.Body)
		}
	}
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "spoilt") {
		t.Errorf("log: %s", &log)
	}
}

// broken is a Collector.
type broken struct{ prometheus.Metric }

func (b broken) Describe(ch chan<- *prometheus.Desc) { ch <- b.Desc() }
func (b broken) Collect(ch chan<- prometheus.Metric) { ch <- b.Metric }

// slow is a Source that waits to be let on, as the kernel may with very many rules.
type slow struct{ asked, answer chan struct{} }

func newSlow() slow { return slow{make(chan struct{}, maxScrapes), make(chan struct{})} }

func (s slow) PolicyMetrics() []prometheus.Metric { return nil }

func (s slow) Snapshot() engine.Snapshot {
	s.asked <- struct{}{}
	<-s.answer
	return busy().Snapshot()
}

// TestScrapesAreLimited: whoever scrapes in a loop must not pile up work.
func TestScrapesAreLimited(t *testing.T) {
	const more = 3
	source := newSlow()
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
	close(source.answer)
	for range maxScrapes {
		if status := <-statuses; status != http.StatusOK {
			t.Errorf("%d, want 200", status)
		}
	}
}
