package web

import (
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestCounted: what is asked is counted by its answer, and live events come through the counting.
func TestCounted(t *testing.T) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests_total"}, []string{"code", "method"})
	listeners := prometheus.NewGauge(prometheus.GaugeOpts{Name: "listeners"})
	p := serveWith(t, Config{Address: "127.0.0.1:0", Listeners: listeners, Counted: func(next http.Handler) http.Handler {
		return promhttp.InstrumentHandlerCounter(requests, next)
	}})
	p.request(t, "GET", "/api/status", "")
	p.request(t, "GET", "/none", "")
	p.request(t, "POST", "/api/confirm", "{}") // without a token
	for code, method := range map[string]string{"200": "get", "404": "get", "403": "post"} {
		if n := testutil.ToFloat64(requests.WithLabelValues(code, method)); n != 1 {
			t.Errorf("%s by %s: %v requests", code, method, n)
		}
	}
	next := p.listen(t, "")
	notice(p.cfg.Feed, "hello")
	if m := next(); len(m.Items) != 1 {
		t.Errorf("live events: %+v", m)
	}
	if n := testutil.ToFloat64(listeners); n != 1 {
		t.Errorf("%v listen", n)
	}
	http.DefaultClient.CloseIdleConnections()
	t.Cleanup(func() { // the stream is closed by now
		for deadline := time.Now().Add(generous); testutil.ToFloat64(listeners) != 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("a listener that is gone is counted")
			}
		}
	})
}
