package export

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"moonlatch/engine/feed"
	"moonlatch/engine/packet"
)

const generous = 20 * time.Second

func knock() *feed.Item {
	return &feed.Item{Kind: feed.KindEvent, Event: feed.Event{
		Stream: "closed", Chain: "input", Rule: "knock", Verdict: "drop", Iif: "eth0",
		Packet: packet.Packet{
			Src: netip.MustParseAddr("203.0.113.9"), Dst: netip.MustParseAddr("192.0.2.1"), Proto: 6, HasProto: true, Sport: 40000, Dport: 22,
			HasPorts: true, Flags: packet.SYN | packet.ECE, HasFlags: true, TTL: 55, Length: 60, MAC: [6]byte{2, 0, 0, 0, 0, 1}, HasMAC: true, Mark: 7,
		},
	}}
}

func ban(target string) feed.Item {
	return feed.Item{Kind: feed.KindBan, Ban: &feed.Ban{Target: feed.Target{Prefix: netip.MustParsePrefix(target)}}}
}

// TestLine is the kernel's line, as psad and others take it apart.
func TestLine(t *testing.T) {
	it := knock()
	want := "moonlatch drop closed/knock IN=eth0 OUT= MAC=00:00:00:00:00:00:02:00:00:00:00:01:08:00 SRC=203.0.113.9 DST=192.0.2.1 " +
		"LEN=60 TOS=0x00 PREC=0x00 TTL=55 ID=0 PROTO=TCP SPT=40000 DPT=22 WINDOW=0 RES=0x00 ECE SYN URGP=0 MARK=0x7 "
	if got := Line(it); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	psad := regexp.MustCompile(`IN=(\S+)\s.*?SRC=(\S+)\s+DST=(\S+)\s+LEN=(\d+)\s+TOS=(\S+)\s*PREC=\S+\s+TTL=(\d+)\s+ID=(\d+)\s*.*PROTO=TCP\s+SPT=(\d+)\s+DPT=(\d+)\s.*\s*WINDOW=(\d+)\s+RES=\S+\s*(.*)\s+URGP=`)
	if m := psad.FindStringSubmatch(Line(it)); m == nil || m[11] != "ECE SYN" {
		t.Errorf("psad's expression finds %q", m)
	}
	it.Event.Packet = packet.Packet{Src: netip.MustParseAddr("2001:db8::9"), Dst: netip.MustParseAddr("2001:db8::1"), Proto: 58, HasProto: true, ICMPType: 128, HasICMP: true, TTL: 64, Length: 104}
	want = "moonlatch drop closed/knock IN=eth0 OUT= SRC=2001:0db8:0000:0000:0000:0000:0000:0009 DST=2001:0db8:0000:0000:0000:0000:0000:0001 LEN=104 TC=0 HOPLIMIT=64 FLOWLBL=0 PROTO=ICMPv6 TYPE=128 CODE=0 "
	if got := Line(it); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// run runs an output until the test ends, or stop is called.
func run(t *testing.T, o *Output, err error) (stop func()) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		done <- nil
	}
	t.Cleanup(stop)
	return stop
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(generous); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %s", what)
		}
	}
}

// targets are those of the bans in a file, each line of which must be JSON.
func targets(t *testing.T, path string) (out []string) {
	t.Helper()
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		var it feed.Item
		if err := json.Unmarshal([]byte(line), &it); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		out = append(out, it.Ban.Target.String())
	}
	return out
}

// TestFileIsRotated by whoever likes, without a signal.
func TestFileIsRotated(t *testing.T) {
	hub := feed.NewHub()
	path := filepath.Join(t.TempDir(), "events.json")
	o, err := File(hub, path, slog.New(slog.DiscardHandler))
	run(t, o, err)
	hub.Publish(ban("192.0.2.1/32"))
	until(t, "the first ban", func() bool { return len(targets(t, path)) == 1 })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	until(t, "a ban in the new file", func() bool {
		n++
		hub.Publish(ban("192.0.2.2/32"))
		time.Sleep(50 * time.Millisecond)
		return len(targets(t, path)) > 0
	})
	if total := len(targets(t, path)) + len(targets(t, path+".1")); uint64(total) != o.Stats()[0].Sent || total > n+1 {
		t.Errorf("%d lines of %d bans, sent %d", total, n+1, o.Stats()[0].Sent)
	}
	if _, err := File(hub, t.TempDir(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a folder is taken for a file")
	}
}

// TestFullDisk is counted, and ends nothing.
func TestFullDisk(t *testing.T) {
	hub := feed.NewHub()
	var log strings.Builder
	o, err := File(hub, "/dev/full", slog.New(slog.NewTextHandler(&log, nil)))
	stop := run(t, o, err)
	for range 3 {
		hub.Publish(ban("192.0.2.1/32"))
	}
	until(t, "three failures", func() bool { return o.Stats()[0].Failed == 3 })
	stop()
	if strings.Count(log.String(), "output fails") != 1 || o.Stats()[0].Sent != 0 {
		t.Errorf("%+v\n%s", o.Stats(), &log)
	}
}

// TestSyslogUDP sends to a real socket.
func TestSyslogUDP(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	hub := feed.NewHub()
	o, err := Syslog(hub, "udp://"+server.LocalAddr().String(), slog.New(slog.DiscardHandler))
	run(t, o, err)
	hub.Publish(*knock())
	buf := make([]byte, 2000)
	server.SetReadDeadline(time.Now().Add(generous))
	n, _, err := server.ReadFrom(buf)
	want := regexp.MustCompile(`^<30>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ moonlatch \d+ event - moonlatch drop closed/knock IN=eth0 OUT= .*DPT=22 .*URGP=0 MARK=0x7 $`)
	if err != nil || !want.Match(buf[:n]) {
		t.Errorf("got %q, %v", buf[:n], err)
	}
}

// TestSyslogTCP: a server that comes back gets the item that it was away for.
func TestSyslogTCP(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := server.Addr().String()
	server.Close()
	hub := feed.NewHub()
	o, err := Syslog(hub, "tcp://"+address, slog.New(slog.DiscardHandler))
	run(t, o, err)
	hub.Publish(ban("192.0.2.1/32"))
	until(t, "a failure", func() bool { return o.Stats()[0].Failed > 0 })
	if server, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	hub.Publish(feed.Item{Kind: feed.KindNotice, Notice: &feed.Notice{Title: "two\nlines"}})
	c, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(generous))
	from := bufio.NewReader(c)
	for _, want := range []string{"ban - banned target=192.0.2.1 until=never", "notice - two lines"} {
		var n int
		if _, err := fmt.Fscanf(from, "%d ", &n); err != nil {
			t.Fatal(err)
		}
		message := make([]byte, n)
		if _, err := io.ReadFull(from, message); err != nil || !strings.HasPrefix(string(message), "<") || !strings.HasSuffix(string(message), want) {
			t.Errorf("got %q, want ...%q (%v)", message, want, err)
		}
	}
}

// TestSyslogLocal speaks the older format, the only one that the machine's own socket knows.
func TestSyslogLocal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	server, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	hub := feed.NewHub()
	o, err := Syslog(hub, "unix://"+path, slog.New(slog.DiscardHandler))
	run(t, o, err)
	hub.Publish(ban("192.0.2.1/32"))
	buf := make([]byte, 2000)
	server.SetReadDeadline(time.Now().Add(generous))
	n, _, err := server.ReadFrom(buf)
	if want := regexp.MustCompile(`^<30>\w{3} [ \d]\d \d\d:\d\d:\d\d moonlatch\[\d+\]: banned target=192.0.2.1`); err != nil || !want.Match(buf[:n]) {
		t.Errorf("got %q, %v", buf[:n], err)
	}
}

// TestHangingServer delays nobody who publishes.
func TestHangingServer(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0") // which never reads
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	hub := feed.NewHub()
	o, err := Syslog(hub, "tcp://"+server.Addr().String(), slog.New(slog.DiscardHandler))
	if err == nil {
		o.sink.(*syslogServer).patience = 50 * time.Millisecond
	}
	run(t, o, err)
	long := feed.Item{Kind: feed.KindNotice, Notice: &feed.Notice{Title: strings.Repeat("x", 8<<20)}}
	start := time.Now()
	for range 5000 {
		hub.Publish(long)
	}
	if took := time.Since(start); took > generous/4 {
		t.Errorf("publishing took %s", took)
	}
	until(t, "a failure", func() bool { return o.Stats()[0].Failed > 0 })
}

// TestDeadServer: what it misses is counted while it is away, and not only when it is back.
func TestDeadServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nobody")
	hub := feed.NewHub()
	o, err := Syslog(hub, "unix://"+path, slog.New(slog.DiscardHandler))
	run(t, o, err)
	hub.Publish(ban("192.0.2.1/32"))
	until(t, "a failure", func() bool { return o.Stats()[0].Failed > 0 })
	for range 5000 {
		hub.Publish(ban("192.0.2.1/32"))
	}
	until(t, "drops are counted", func() bool { return o.Stats()[0].Dropped > 0 })
}

func FuzzServer(f *testing.F) {
	for _, s := range []string{"udp://h", "tcp://h:1", "unix", "unix:///dev/log", "http://h", "udp://h/x", "tcp://u@h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := parseServer(s); err == nil && (got.network == "" || got.address == "") {
			t.Errorf("%q is %+v", s, got)
		}
	})
}

func TestBadServers(t *testing.T) {
	for _, s := range []string{"", "logs", "http://h", "udp://", "udp://h/x", "tcp://u:p@h", "unix://h/x", "unix:x"} {
		if got, err := parseServer(s); err == nil || !strings.Contains(err.Error(), "udp://logs.example.org:514") {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
}
