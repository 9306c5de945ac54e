package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"moonlatch/engine/capture"
	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/packet"
	"moonlatch/engine/replay"
)

// scanned is the policy that the captures in testdata were made under.
const scanned = `local fw = require "moonlatch"
local accept, drop = fw.accept, fw.drop
local closed = fw.stream "closed"
local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "replies", ct = { "established", "related" }, accept }
input { "web",     tcp = { 80, 443 },                 accept }
input { "closed",  flags = "syn", closed,             drop }
fw.detect "portscan" { on = closed, count = "distinct dport", per = "src", over = 10, within = "60s", ban = { "1h", "24h" } }
`

// newReplayWorld is a host to replay on.
func newReplayWorld(t *testing.T) *world {
	return &world{t: t, server: netnstest.New(t), dir: t.TempDir()}
}

// replay replays and returns the report, and the exit code.
func (w *world) replay(args ...string) (r replay.Report, errs string, code int) {
	w.t.Helper()
	out, errs, code := w.run(append([]string{"replay", "-o", "json"}, args...)...)
	if strings.HasPrefix(out, "{") {
		must(w.t, json.Unmarshal([]byte(out), &r))
	}
	return r, errs, code
}

// eleventh is the number of the packet by which one source has tried eleven closed ports, counted
// without Moonlatch's rules.
func eleventh(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	r, err := capture.NewReader(f)
	must(t, err)
	ports := map[uint16]bool{}
	var p capture.Packet
	var h packet.Packet
	for r.Next(&p) == nil {
		if h.Decode(p.Protocol, p.Data) == nil && h.Flags == packet.SYN && h.Dport != 80 && h.Dport != 443 {
			if ports[h.Dport] = true; len(ports) == 11 {
				return p.Number
			}
		}
	}
	t.Fatalf("%s: only %d ports", path, len(ports))
	return 0
}

// TestReplayOfTcpdump replays what tcpdump captured of an nmap scan: on an interface, on all of them, and of NFLOG.
func TestReplayOfTcpdump(t *testing.T) {
	t.Parallel()
	w := newReplayWorld(t)
	policy := w.policy("web.lua", scanned)
	for name, by := range map[string]string{"scan": "most packets are from or to it", "any": "the directions in the capture", "nflog": "most packets are from or to it"} {
		path := filepath.Join("testdata/capture", name+".pcap")
		r, errs, code := w.replay(path, policy)
		if code != 0 || len(r.Policy.Bans) != 1 {
			t.Fatalf("%s: code %d, %s, bans %+v", name, code, errs, r.Policy.Bans)
		}
		b := r.Policy.Bans[0]
		if b.Target != "198.51.100.9" || b.Packet != eleventh(t, path) || b.Until.Sub(b.At) != time.Hour || b.By != "portscan" || !strings.HasSuffix(b.Place, "web.lua:8") {
			t.Errorf("%s: %+v; want it at packet %d", name, b, eleventh(t, path))
		}
		if e := b.Evidence; e == nil || e.Count != 11 || e.Of != "ports" || len(e.Ports) != 11 || !e.Last.Equal(b.At) || !e.First.Before(e.Last) {
			t.Errorf("%s: evidence %+v", name, e)
		}
		if got := fmt.Sprint(r.Hosts.Addresses); got != "[198.51.100.1]" || r.Hosts.By != by {
			t.Errorf("%s: hosts %+v", name, r.Hosts)
		}
		if d := r.Policy.Detectors; len(d) != 1 || d[0].Hits != 1 || d[0].Keys != 1 {
			t.Errorf("%s: detectors %+v", name, d)
		}
	}
	text, _, _ := w.run("replay", "testdata/capture/scan.pcap", policy)
	for _, want := range []string{"would have made 1 ban", "for 1h by portscan (web.lua:8): 11 ports in", `input "closed"`, "drop     a ban", "not played: 4, no IP packet"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
}

// TestReplayOfLiveScan scans a real host with nmap, captures it, and replays that: the ban comes with the packet that earns it.
func TestReplayOfLiveScan(t *testing.T) {
	if _, err := exec.LookPath("nmap"); err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	w := newWorld(t)
	path := filepath.Join(w.dir, "live.pcapng")
	stop := w.capture("att0", path)
	cmd := exec.Command("nmap", "-n", "-Pn", "-sS", "-p20-60", "--max-rate", "300", serverForAttacker)
	must(t, w.attacker.Start(cmd))
	must(t, cmd.Wait())
	stop()
	r, errs, code := w.replay(path, w.policy("web.lua", scanned))
	if code != 0 || len(r.Policy.Bans) != 1 {
		t.Fatalf("code %d, %s, bans %+v", code, errs, r.Policy.Bans)
	}
	if b := r.Policy.Bans[0]; b.Target != attacker4 || b.Packet != eleventh(t, path) {
		t.Errorf("%+v; want %s at packet %d", b, attacker4, eleventh(t, path))
	}
}

// capture writes what a link of the server's carries to a pcapng file until it is stopped.
func (w *world) capture(link, path string) (stop func()) {
	w.t.Helper()
	var in *pcapgo.EthernetHandle
	must(w.t, w.server.Do(func() (err error) {
		in, err = pcapgo.NewEthernetHandle(link)
		return err
	}))
	f, err := os.Create(path)
	must(w.t, err)
	out, err := pcapgo.NewNgWriterInterface(f, pcapgo.NgInterface{Name: link, LinkType: layers.LinkTypeEthernet, SnapLength: 1 << 16}, pcapgo.DefaultNgWriterOptions)
	must(w.t, err)
	done := make(chan error)
	go func() {
		for {
			data, info, err := in.ReadPacketData()
			if err != nil {
				done <- out.Flush()
				return
			}
			info.InterfaceIndex = 0
			if err := out.WritePacket(info, data); err != nil {
				done <- err
				return
			}
		}
	}()
	return func() {
		in.Close()
		must(w.t, <-done)
		must(w.t, f.Close())
	}
}

// written is a packet of a capture that a test writes.
type written struct {
	after time.Duration
	src   string
	dport uint16
	flags string // of TCP: S, A, R
	dst   string // default the host
	cut   int    // bytes that are not captured
}

const replayHost = "198.51.100.1"

// writeCapture writes a pcap of Ethernet frames.
func (w *world) writeCapture(name string, packets ...written) string {
	w.t.Helper()
	var b bytes.Buffer
	out := pcapgo.NewWriterNanos(&b)
	must(w.t, out.WriteFileHeader(1<<16, layers.LinkTypeEthernet))
	start := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for _, p := range packets {
		if p.dst == "" {
			p.dst = replayHost
		}
		data := buildFrame(w.t, p)
		full := len(data)
		data = data[:full-p.cut]
		must(w.t, out.WritePacket(gopacket.CaptureInfo{Timestamp: start.Add(p.after), CaptureLength: len(data), Length: full}, data))
	}
	path := filepath.Join(w.dir, name)
	must(w.t, os.WriteFile(path, b.Bytes(), 0o600))
	return path
}

func buildFrame(t *testing.T, p written) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Id: 1, Protocol: layers.IPProtocolTCP, SrcIP: netip.MustParseAddr(p.src).AsSlice(), DstIP: netip.MustParseAddr(p.dst).AsSlice()}
	tcp := &layers.TCP{SrcPort: 40000, DstPort: layers.TCPPort(p.dport), Seq: 1, Window: 1000, SYN: strings.Contains(p.flags, "S"), ACK: strings.Contains(p.flags, "A"), RST: strings.Contains(p.flags, "R")}
	if p.src == replayHost {
		tcp.SrcPort, tcp.DstPort = tcp.DstPort, tcp.SrcPort
	}
	must(t, tcp.SetNetworkLayerForChecksum(ip))
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4},
		ip, tcp, gopacket.Payload("some payload behind the header")))
	return buf.Bytes()
}

// scanFrom is a scan of n closed ports, one each tenth of a second.
func scanFrom(src string, begin time.Duration, first uint16, n int) (out []written) {
	for i := range n {
		out = append(out, written{after: begin + time.Duration(i)*100*time.Millisecond, src: src, dport: first + uint16(i), flags: "S"})
	}
	return out
}

// TestReplayKeepsTheCapturesTime lets bans end and come back longer, detectors forget, and timers run by the capture's clock.
func TestReplayKeepsTheCapturesTime(t *testing.T) {
	t.Parallel()
	w := newReplayWorld(t)
	policy := w.policy("web.lua", scanned+`
local ticks = 0
fw.every("1h", function() ticks = ticks + 1; if ticks == 3 then fw.ban("203.0.113.77", "10m", "third tick") end end)
input { "trap", tcp = 23, fw.trap "5m", drop }
`)
	slow := []written{} // eleven ports, but never within a minute
	for i := range 11 {
		slow = append(slow, written{after: time.Duration(i) * 10 * time.Second, src: "203.0.113.5", dport: 7000 + uint16(i), flags: "S"})
	}
	packets := append(slow, scanFrom("203.0.113.9", 2*time.Minute, 1000, 12)...)
	packets = append(packets,
		written{after: 30 * time.Minute, src: "203.0.113.9", dport: 443, flags: "S"},                                           // banned
		written{after: 2*time.Minute + time.Second + time.Hour - time.Millisecond, src: "203.0.113.9", dport: 443, flags: "S"}, // still
		written{after: 2*time.Minute + time.Second + time.Hour, src: "203.0.113.9", dport: 443, flags: "S"},                    // free again
		written{after: 59 * time.Minute, src: "203.0.113.9", dport: 443, flags: "S"},                                           // an earlier time
	)
	packets = append(packets, scanFrom("203.0.113.9", 2*time.Hour, 1000, 11)...) // the second offence
	packets = append(packets, written{after: 4 * time.Hour, src: "203.0.113.6", dport: 443, flags: "S"})
	r, errs, code := w.replay(w.writeCapture("time.pcap", packets...), policy)
	if code != 0 {
		t.Fatal(errs)
	}
	var got []string
	for _, b := range r.Policy.Bans {
		got = append(got, fmt.Sprintf("%s packet %d +%s for %s by %s", b.Target, b.Packet, b.At.Sub(r.First), b.Until.Sub(b.At), strings.SplitN(b.By, ":", 2)[0]))
	}
	want := []string{
		"203.0.113.9 packet 22 +2m1s for 1h0m0s by portscan",
		"203.0.113.9 packet 38 +2h0m1s for 24h0m0s by portscan",
		"203.0.113.77 packet 39 +3h0m0s for 10m0s by timer web.lua",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	verdicts := map[string]int{}
	for _, v := range r.Policy.Verdicts {
		verdicts[string(v.Verdict)+" "+v.Rule] = v.Packets
	}
	if diff := cmp.Diff(map[string]int{"drop closed": 11 + 11 + 11, "drop banned": 1 + 2, "accept web": 3}, verdicts); diff != "" {
		t.Error(diff)
	}
	if r.Late != 1 {
		t.Errorf("%d packets with an earlier time, want 1", r.Late)
	}
}
