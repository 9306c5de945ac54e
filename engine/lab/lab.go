package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"moonlatch/engine/netns"
	"moonlatch/engine/nft"
	"moonlatch/engine/packet"
	"moonlatch/engine/ruleset"
	"moonlatch/nflog"
)

// The host's own addresses, of the ranges for benchmarks (RFC 2544, RFC 5180).
const (
	Host4 = "198.18.0.1"
	Host6 = "2001:2::1"
)

// The interfaces by which packets come in, and by which forwarded ones leave, unless they say otherwise.
const (
	Inside  = "eth0"
	Outside = "eth1"
)

// Lab is a host on trial. It belongs to the goroutine that Run calls fn on.
type Lab struct {
	NFT *nft.Client

	// Observe gets every packet that the rules log to ruleset.Group, before the
	// Send that caused it returns. May be nil.
	Observe func(*nflog.Event)

	host, wire *netns.Namespace
	links      map[string]link // by name, on the host
	route      string          // the interface of the default route
	sent       string          // likewise for what the host itself sends
	addresses  map[netip.Addr]bool
	events     *nflog.Reader
	traces     *tracer
	steps      []step // that traced read last
	marker     []byte // the packet that sync sends
	frames     int    // a packet socket among the far ends of the cables
	raw4, raw6 int    // sockets by which the host itself sends
	rules      *rules // as the kernel lists them; nil when they have changed
	ages       map[agedElement]age
	logged     packet.Packet // the packet that the lab's own last chains saw
	left       bool          // there is one
	wide       bool          // cables take packets of any size
}

// Run makes a lab, calls fn in its host's network namespace, and takes the lab
// away. It needs what [netns.New] needs.
func Run(ctx context.Context, fn func(*Lab) error) error {
	host, err := netns.New()
	if err != nil {
		return err
	}
	defer host.Close()
	wire, err := netns.New()
	if err != nil {
		return err
	}
	defer wire.Close()
	return host.Do(func() error {
		l := &Lab{host: host, wire: wire, links: map[string]link{}, addresses: map[netip.Addr]bool{}, ages: map[agedElement]age{}, frames: -1, raw4: -1, raw6: -1}
		defer l.close()
		if err := l.open(ctx); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		return fn(l)
	})
}

// stay keeps the thread on the processor that it is on, until it is released: the kernel then takes
// the frames that it sends in the order in which they were sent, which Send relies on.
func stay() (release func(), err error) {
	var home, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &home); err != nil {
		return nil, fmt.Errorf("processors: %w", err)
	}
	var cpu uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
		return nil, fmt.Errorf("processor: %w", errno)
	}
	one.Set(int(cpu))
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return nil, fmt.Errorf("stay on processor %d: %w", cpu, err)
	}
	return func() { unix.SchedSetaffinity(0, &home) }, nil
}

func (l *Lab) open(ctx context.Context) error {
	if err := l.cables(); err != nil {
		return err
	}
	var err error
	if l.NFT, err = nft.Open(nft.Config{}); err != nil {
		return err
	}
	if l.events, err = nflog.Open(nflog.Config{Group: ruleset.Group, CopyRange: ruleset.MaxSnaplen, QueueThreshold: 1}); err != nil {
		return err
	}
	if l.marker, err = (Packet{Src: netip.MustParseAddr(Sender4), Dst: netip.MustParseAddr(Host4), Proto: unix.IPPROTO_UDP, TTL: 1}).bytes(); err != nil {
		return err
	}
	l.traces, err = openTracer()
	return err
}

func (l *Lab) close() {
	if l.traces != nil {
		l.traces.close()
	}
	if l.events != nil {
		l.events.Close()
	}
	if l.NFT != nil {
		l.NFT.Close()
	}
	for _, fd := range []int{l.frames, l.raw4, l.raw6} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// Load, called once, puts rules in force: tables as nft text, the interfaces that it needs, and
// the content of large sets. The error is a *nft.ScriptError where the kernel
// refuses the text.
func (l *Lab) Load(ctx context.Context, text string, devices []string, fills []ruleset.Fill, table string) error {
	l.rules = nil
	for _, d := range devices {
		if _, err := l.link(d); err != nil {
			return err
		}
	}
	if err := l.NFT.RunInParts(ctx, []byte(text+ownTables(devices))); err != nil {
		return err
	}
	for _, f := range fills {
		if err := l.NFT.Fill(f, table); err != nil {
			return err
		}
	}
	return nil
}

// ownTable is the lab's table. Its first chains ask the kernel for a trace and its last
// ones log what came through. The host's own stack must not answer, so only what the lab sends leaves it.
const ownTable = "moonlatch_lab"

const (
	ownMark    = 0x6d6c6162 // of what the lab has the host send
	syncLink   = "lab-sync"
	syncPrefix = "!lab sync" // no stream is named so
	endPrefix  = "!lab end"
)

// ownTables is the text of the lab's tables, which trace packets from where they
// first meet a rule.
func ownTables(devices []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
table inet %[1]s {
	chain first { type filter hook prerouting priority -2147483648; policy accept;
		iifname %[2]q meta nftrace set 1 log prefix %[3]q group %[4]d drop
		meta nftrace set 1
	}
	chain sent { type filter hook output priority -2147483648; policy accept;
		meta mark != %[5]d drop
		meta nftrace set 1 meta mark set 0
	}
	chain in { type filter hook input priority 2147483646; policy accept; log prefix %[6]q group %[4]d; }
	chain out { type filter hook postrouting priority 2147483646; policy accept; log prefix %[6]q group %[4]d; }
}
`, ownTable, syncLink, syncPrefix, ruleset.Group, ownMark, endPrefix)
	if len(devices) == 0 {
		return b.String()
	}
	fmt.Fprintf(&b, "table netdev %s {\n", ownTable)
	for i, d := range devices {
		fmt.Fprintf(&b, "\tchain first%d { type filter hook ingress device %q priority -2147483648; policy accept; meta nftrace set 1; }\n", i, d)
	}
	b.WriteString("}\n")
	return b.String()
}

// sysctl sets a sysctl of the host.
func (l *Lab) sysctl(key, value string) error {
	if err := os.WriteFile("/proc/sys/net/"+key, []byte(value), 0); err != nil {
		return fmt.Errorf("set sysctl net/%s: %w", key, err)
	}
	return nil
}
