package engine

import (
	"testing"
	"time"

	"moonlatch/engine/control"
)

// FuzzHistoryRequest: what a filter is made of can be asked for, and names no more than was asked.
func FuzzHistoryRequest(f *testing.F) {
	f.Add("192.0.2.1", "ban", "web.lua", int64(0), 5)
	f.Add("192.0.2.1/24", "", "", int64(-1<<63), -1)
	f.Add("::ffff:192.0.2.0/120", "unban", "", int64(1<<62), 1<<40)
	f.Add("::ffff:0.0.0.0/90", "event", "\x00", int64(1), 0)
	f.Add("fe80::1%eth0", "audit", "", int64(1), 0)
	f.Fuzz(func(t *testing.T, target, kind, policy string, since int64, limit int) {
		req := control.HistoryRequest{Target: target, Policy: policy, Since: time.UnixMilli(since), Limit: limit}
		if kind != "" {
			req.Kinds = []string{kind}
		}
		filter, err := filterOf(req)
		if err != nil {
			return
		}
		p := filter.Target
		if target != "" && (!p.IsValid() || p != p.Masked() || p.Addr().Is4In6()) {
			t.Errorf("%q becomes %s", target, p)
		}
		if filter.Limit < 1 || filter.Limit > control.MaxHistory || len(filter.Kinds) != len(req.Kinds) {
			t.Errorf("%+v becomes %+v", req, filter)
		}
	})
}
