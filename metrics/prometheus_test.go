package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"moonlatch/engine/control"
)

// server is Debian's Prometheus, which scrapes a daemon every second, with our rules.
type server struct {
	*testing.T
	url string
}

// startPrometheus runs it in the test's network namespace until the test ends.
func startPrometheus(t *testing.T, target string) *server {
	t.Helper()
	folder := t.TempDir()
	rules, err := filepath.Abs("prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [%q]
scrape_configs:
  - job_name: moonlatch
    static_configs: [{ targets: [%q] }]
`, rules, target)
	file := filepath.Join(folder, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	address := freeAddress(t)
	cmd := exec.Command("prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (install Debian's package prometheus)", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("Prometheus says:\n%s", text)
		}
	})
	return &server{t, "http://" + address}
}

// freeAddress is one that nobody listens on in this private namespace.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// query returns how many series an expression has now; ok is false until Prometheus answers.
func (s *server) query(expr string) (series int, ok bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", s.url+"/api/v1/query?query="+url.QueryEscape(expr), nil)
	if err != nil {
		s.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == http.StatusServiceUnavailable {
		return 0, false
	}
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Status != "success" {
		s.Fatalf("%s: %s (%v)", expr, body, err)
	}
	return len(answer.Data.Result), true
}

// everything has what the dashboards show: sets, a rule that never matches, a detector, a handler that fails, a timer.
const everything = `
fw.set "admins" { "192.0.2.1" }
local some = fw.set "some" { "192.0.2.2" }
input { "never", udp = 10, src = some, fw.accept }
input { "web", udp = 11, fw.accept }
fw.every("100ms", function() fw.bans() end)
fw.watchdog { lease = "30s" }
`

// TestDashboardsShowData runs a daemon under traffic, Prometheus beside it, and asks what each panel asks.
func TestDashboardsShowData(t *testing.T) {
	l := startDaemon(t)
	list := filepath.Join(t.TempDir(), "drop.txt")
	if err := os.WriteFile(list, []byte("198.51.100.0/24\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	everything := everything + fmt.Sprintf("input { \"listed\", src = fw.feed \"drop\" { file = %q, every = \"1h\" }, fw.drop }\n", list)
	l.apply(everything)
	if _, err := l.daemon.Confirm(t.Context(), control.ConfirmRequest{}); err != nil {
		t.Fatal(err)
	}
	s := startPrometheus(t, strings.TrimSuffix(strings.TrimPrefix(l.url, "http://"), "/metrics"))
	l.apply(everything + "-- on trial") // for a minute: its countdown shows
	missing := map[string]string{}
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		l.knock(2)
		clear(missing)
		for file, d := range dashboards(t) {
			for _, p := range d.Panels {
				for i, expr := range p.queries("10s", "1m", "moonlatch", ".+") {
					if n, ok := s.query(expr); !ok || n == 0 {
						missing[fmt.Sprintf("%s: %s %c", file, p.Title, 'A'+i)] = expr
					}
				}
			}
		}
		if len(missing) == 0 {
			return
		}
	}
	for where, expr := range missing {
		t.Errorf("%s: no data for %s", where, expr)
	}
}
