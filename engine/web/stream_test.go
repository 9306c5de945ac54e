package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"moonlatch/engine/feed"
	"moonlatch/engine/packet"
)

const generous = time.Minute // for things that take milliseconds on an idle machine

// message is one server-sent event as the page reads it.
type message struct {
	id     string
	Missed uint64
	Items  []feed.Item
}

// listen opens a stream; next reads its messages.
func (p page) listen(t *testing.T, query string, headers ...string) (next func() message) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", p.url+"/api/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("stream: %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 4<<20)
	return func() (m message) {
		t.Helper()
		watch := time.AfterFunc(generous, func() { resp.Body.Close() })
		defer watch.Stop()
		for lines.Scan() {
			if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				m.id = id
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &m); err != nil {
					t.Fatalf("%v in %s", err, data)
				}
				return m
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return m
	}
}

// event publishes a packet event.
func event(hub *feed.Hub, src string, port uint16) {
	p := packet.Packet{Time: time.Now(), Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr("192.0.2.1"), Proto: 6, HasProto: true, Dport: port, HasPorts: true}
	hub.Event(&feed.Source{Stream: "closed", Chain: "input", Rule: "closed", Verdict: "drop"}, "eth0", "", &p)
}

func notice(hub *feed.Hub, title string) {
	hub.Publish(feed.Item{Kind: feed.KindNotice, Notice: &feed.Notice{Title: title}})
}

// ports lists the ports of packet events, and titles of notices.
func (m message) list() string {
	var out []string
	for _, it := range m.Items {
		if it.Kind == feed.KindEvent {
			out = append(out, fmt.Sprint(it.Event.Packet.Dport))
		} else {
			out = append(out, it.Notice.Title)
		}
	}
	return strings.Join(out, " ")
}

// TestStream: what was before comes first, then what happens, in order, each once, also to who comes back.
func TestStream(t *testing.T) {
	p := serve(t)
	hub := p.cfg.Feed
	for port := range uint16(10) {
		event(hub, "203.0.113.9", 1000+port)
	}
	next := p.listen(t, "")
	if m := next(); m.list() != "1000 1001 1002 1003 1004 1005 1006 1007 1008 1009" || m.Missed != 0 || m.id != fmt.Sprint(m.Items[9].ID) {
		t.Fatalf("what was before: %s, missed %d, id %s", m.list(), m.Missed, m.id)
	}
	event(hub, "203.0.113.9", 2000)
	notice(hub, "hello")
	m := next()
	for m.list() != "2000 hello" && len(m.Items) < 2 {
		more := next()
		m.Items, m.id = append(m.Items, more.Items...), more.id
	}
	if m.list() != "2000 hello" {
		t.Errorf("then: %s", m.list())
	}
	event(hub, "203.0.113.9", 3000)
	if back := p.listen(t, "?after=1", "Last-Event-ID", m.id)(); back.list() != "3000" || back.Missed != 0 {
		t.Errorf("to who comes back: %s, missed %d", back.list(), back.Missed)
	}
	if back := p.listen(t, "?after="+m.id)(); back.list() != "3000" {
		t.Errorf("to who says where it was: %s", back.list())
	}
}

// TestStreamFilter: packet events are filtered here, everything else is for everybody.
func TestStreamFilter(t *testing.T) {
	p := serve(t)
	event(p.cfg.Feed, "203.0.113.9", 22)
	event(p.cfg.Feed, "203.0.113.10", 22)
	event(p.cfg.Feed, "203.0.113.10", 80)
	notice(p.cfg.Feed, "hello")
	for query, want := range map[string]string{
		"?src=203.0.113.10": "22 80 hello", "?port=22": "22 22 hello", "?src=203.0.113.10&port=22": "22 hello",
		"?src=203.0.113.0/24&port=80": "80 hello", "?stream=closed": "22 22 80 hello", "?stream=other": "hello",
	} {
		if m := p.listen(t, query)(); m.list() != want {
			t.Errorf("%s: %s, want %s", query, m.list(), want)
		}
	}
	for _, query := range []string{"?src=x", "?port=0", "?port=70000", "?after=x", "?src=%zz"} {
		if resp, text := p.request(t, "GET", "/api/events"+query, ""); resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", query, resp.StatusCode, text)
		}
	}
}

// TestStreamFlood: of more than anybody can read the newest are shown, and the others counted. Nothing rare is lost.
func TestStreamFlood(t *testing.T) {
	p := serve(t)
	next := p.listen(t, "")
	notice(p.cfg.Feed, "begin")
	shown, seen := 0, ""
	for m := next(); ; m = next() {
		if seen += m.list() + " "; strings.Contains(seen, "begin") {
			break
		}
	}
	const sent = 7000
	for i := range sent {
		event(p.cfg.Feed, "203.0.113.9", uint16(1+i))
		if i == sent/2 {
			notice(p.cfg.Feed, "middle")
		}
	}
	notice(p.cfg.Feed, "end")
	var missed uint64
	last := ""
	for !strings.Contains(seen, "end") {
		m := next()
		seen += m.list() + " "
		missed += m.Missed
		for _, it := range m.Items {
			if it.Kind == feed.KindEvent {
				shown++
				last = fmt.Sprint(it.Event.Packet.Dport)
			}
		}
	}
	if uint64(shown)+missed != sent || missed == 0 || last != fmt.Sprint(sent) || !strings.Contains(seen, "middle") {
		t.Errorf("%d shown and %d missed of %d, the last one %s", shown, missed, sent, last)
	}
}

// TestTooManyStreams: what is too many is told to come again; a place that is left is free.
func TestTooManyStreams(t *testing.T) {
	p := serve(t)
	var leave []func()
	for i := range maxStreams {
		l, ok := p.streams.places.enter("127.0.0.1:1")
		if !ok {
			t.Fatalf("there is no place for client %d of %d", i, maxStreams)
		}
		leave = append(leave, l)
	}
	resp, text := p.request(t, "GET", "/api/events", "")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !resp.Close || !strings.Contains(text, "try again") {
		t.Errorf("one more than %d: %d %s", maxStreams, resp.StatusCode, text)
	}
	leave[0]()
	notice(p.cfg.Feed, "hello")
	if m := p.listen(t, "")(); m.list() != "hello" {
		t.Errorf("when a place is free: %s", m.list())
	}
	for _, l := range leave[1:] {
		l()
	}
	p.streams.openings.SetLimit(0)
	waitFor(t, "the end of what may be opened at once", func() bool { return !p.streams.openings.Allow() })
	if resp, _ := p.request(t, "GET", "/api/events", ""); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("more openings than there may be: %d", resp.StatusCode)
	}
}

// TestOneHost: no other host takes all places, whatever it opens.
func TestOneHost(t *testing.T) {
	p := newPlaces()
	var leave func()
	for i := range maxOfOne {
		var ok bool
		if leave, ok = p.enter(fmt.Sprintf("[2001:db8::1]:%d", i)); !ok {
			t.Fatalf("there is no place for client %d of %d", i, maxOfOne)
		}
	}
	if _, ok := p.enter("[2001:db8::1]:99"); ok {
		t.Error("one host takes more places than it may")
	}
	if _, ok := p.enter("192.0.2.1:1"); !ok {
		t.Error("because of one host there is no place for another")
	}
	leave()
	if _, ok := p.enter("[2001:db8::1]:99"); !ok {
		t.Error("a place that was left is not free")
	}
}

// TestSlowReader: who does not read loses its place, and in the meantime costs no more than its queue.
func TestSlowReader(t *testing.T) {
	p := serve(t)
	p.streams.patience, p.streams.broadcast.gather = time.Second, time.Millisecond
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	conn, err := d.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a listener", func() bool { return p.streams.broadcast.count() == 1 })
	waitFor(t, "the slow reader's end", func() bool {
		for range 200 {
			notice(p.cfg.Feed, strings.Repeat("x", 2000))
		}
		return p.streams.broadcast.count() == 0
	})
	waitFor(t, "its place", func() bool { return p.streams.places.count() == 0 })
}

// TestChoose: of a batch a client gets the newest that it wants and has not had, and everything rare.
func TestChoose(t *testing.T) {
	b := &batch{}
	for id := range uint64(10) {
		it := feed.Item{ID: id, Kind: feed.KindEvent}
		if id%3 == 0 {
			it.Kind = feed.KindNotice
		}
		b.items = append(b.items, it)
	}
	for _, tt := range []struct {
		last   uint64
		most   int
		want   string
		missed uint64
	}{
		{0, 10, "[1 2 3 4 5 6 7 8 9]", 0}, {4, 10, "[5 6 7 8 9]", 0}, {9, 10, "[]", 0}, {0, 2, "[3 6 7 8 9]", 4}, {6, 1, "[8 9]", 1},
	} {
		if chosen, missed := b.choose(&feed.Filter{}, tt.last, tt.most); fmt.Sprint(chosen) != tt.want || missed != tt.missed {
			t.Errorf("after %d, at most %d: %v, %d missed; want %s, %d", tt.last, tt.most, chosen, missed, tt.want, tt.missed)
		}
	}
}

// TestQueue: a listener's queue drops the oldest and counts what it drops.
func TestQueue(t *testing.T) {
	l := &listener{batches: make(chan *batch, maxWaiting)}
	for i := range 3 * maxWaiting {
		l.put(&batch{items: make([]feed.Item, 2), missed: 1, texts: make([][]byte, i)})
	}
	if n := l.takeMissed(); n != 2*maxWaiting*3 || l.takeMissed() != 0 {
		t.Errorf("missed %d, want %d", n, 2*maxWaiting*3)
	}
	if first := <-l.batches; len(first.texts) != 2*maxWaiting {
		t.Errorf("the oldest left is number %d, want %d", len(first.texts), 2*maxWaiting)
	}
}

// TestHeartbeat: where nothing happens, the connection is used all the same.
func TestHeartbeat(t *testing.T) {
	p := serve(t)
	p.streams.heartbeat = 10 * time.Millisecond
	resp, err := http.Get(p.url + "/api/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	watch := time.AfterFunc(generous, func() { resp.Body.Close() })
	defer watch.Stop()
	for lines, n := bufio.NewScanner(resp.Body), 0; n < 3; {
		if !lines.Scan() {
			t.Fatalf("%d heartbeats: %v", n, lines.Err())
		}
		if lines.Text() == ": still here" {
			n++
		}
	}
}

// TestFirstListener: who is the first to listen hears of what happens before anybody passes it on.
func TestFirstListener(t *testing.T) {
	hub := feed.NewHub()
	b := newBroadcast(hub)
	l := b.join()
	notice(hub, "hello")
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	running.Go(func() { b.run(ctx) })
	select {
	case got := <-l.batches:
		if len(got.items) != 1 || got.items[0].Notice.Title != "hello" {
			t.Errorf("%+v", got.items)
		}
	case <-time.After(generous):
		t.Error("it is lost")
	}
	stop()
	running.Wait()
	if n := hub.Subscribers(); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}

// TestNobodyListens: without clients the feed has no listener.
func TestNobodyListens(t *testing.T) {
	p := serve(t)
	listening := func() bool {
		notice(p.cfg.Feed, "hello")
		return p.cfg.Feed.Subscribers() > 0
	}
	if listening() {
		t.Error("the feed is listened to before anybody has come")
	}
	resp, err := http.Get(p.url + "/api/events")
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a listener", listening)
	resp.Body.Close()
	waitFor(t, "no listener", func() bool { return !listening() })
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(generous); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for %s", what)
		}
	}
}
