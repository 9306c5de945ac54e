package lab_test

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"moonlatch/engine/lab"
	"moonlatch/engine/netns/netnstest"
)

// syn is a SYN to a port of the lab's host, as bytes.
func syn(src netip.Addr, dport uint16) []byte {
	s := src.As4()
	b := []byte{0x45, 0, 0, 40, 0, 1, 0, 0, 64, unix.IPPROTO_TCP, 0, 0, s[0], s[1], s[2], s[3], 198, 18, 0, 1}
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	sum = sum&0xffff + sum>>16
	sum = ^(sum&0xffff + sum>>16)
	b[10], b[11] = byte(sum>>8), byte(sum)
	return append(b, 0x9c, 0x40, byte(dport>>8), byte(dport), 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0)
}

func BenchmarkInject(b *testing.B) {
	netnstest.Kernel(b)
	err := lab.Run(b.Context(), func(l *lab.Lab) error {
		if err := l.Load(b.Context(), simple, nil, nil, "moonlatch_1"); err != nil {
			return err
		}
		release, err := l.Still()
		if err != nil {
			return err
		}
		defer release()
		src := netip.MustParseAddr("192.0.2.67")
		p := lab.Captured{Data: syn(src, 80), Src: src, Dst: netip.MustParseAddr(lab.Host4)}
		for b.Loop() {
			f, err := l.Inject(&p)
			if err != nil {
				return err
			}
			if f.Rule != "good" {
				b.Fatalf("%+v", f)
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
