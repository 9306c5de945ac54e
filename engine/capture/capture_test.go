package capture_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"moonlatch/engine/capture"
	"moonlatch/nflog"
)

// ip stands for a packet from its network header on.
var ip = []byte("\x45\x00\x00\x28\x00\x01\x00\x00\x40\x06\x00\x00\xc0\x00\x02\x05\xc6\x12\x00\x01\x9c\x40\x00\x16\x00\x00\x00\x00\x00\x00\x00\x00\x50\x02\x00\x00\x00\x00\x00\x00")

var start = time.Date(2026, 1, 2, 3, 4, 5, 678_000, time.UTC)

// old is a pcap of frames, each a millisecond after the one before.
func old(t testing.TB, link layers.LinkType, frames ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	if err := w.WriteFileHeader(1<<16, link); err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		info := gopacket.CaptureInfo{Timestamp: start.Add(time.Duration(i) * time.Millisecond), CaptureLength: len(f), Length: len(f)}
		if err := w.WritePacket(info, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// ng is the same as pcapng, of an interface.
func ng(t testing.TB, link layers.LinkType, name string, frames ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriterInterface(&b, pcapgo.NgInterface{Name: name, LinkType: link, SnapLength: 1 << 16}, pcapgo.DefaultNgWriterOptions)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		info := gopacket.CaptureInfo{Timestamp: start.Add(time.Duration(i) * time.Millisecond), CaptureLength: len(f), Length: len(f) + 7}
		if err := w.WritePacket(info, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func frame(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

const (
	macs      = "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02" // destination and source
	linkNFLOG = layers.LinkType(239)
)

// logged is a packet as a capture of NFLOG holds it.
func logged() []byte {
	attr := func(kind uint16, v []byte) []byte {
		b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(v)))
		b = append(binary.NativeEndian.AppendUint16(b, kind), v...)
		return append(b, make([]byte, -len(v)&3)...)
	}
	return frame([]byte{unix.NFPROTO_IPV4, 0, 0, 71},
		attr(1, []byte{8, 0, 1, 0}), attr(10, []byte("closed:input:closed\x00")), attr(4, []byte{0, 0, 0, 7}), attr(9, ip))
}

// read reads a whole capture.
func read(b []byte) (all []capture.Packet, err error) {
	r, err := capture.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	for {
		var p capture.Packet
		if err := r.Next(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, err
		}
		p.Data = bytes.Clone(p.Data)
		all = append(all, p)
	}
}

// TestLinkLayers takes each link layer off.
func TestLinkLayers(t *testing.T) {
	mac := [6]byte{2, 0, 0, 0, 0, 2}
	for name, tt := range map[string]struct {
		link  layers.LinkType
		frame []byte
		want  capture.Packet
	}{
		"ethernet": {layers.LinkTypeEthernet, frame([]byte(macs), []byte{8, 0}, ip), capture.Packet{Protocol: unix.ETH_P_IP, Data: ip, MAC: mac, HasMAC: true}},
		"tagged":   {layers.LinkTypeEthernet, frame([]byte(macs), []byte{0x81, 0, 0, 5, 8, 0}, ip), capture.Packet{Protocol: unix.ETH_P_IP, Data: ip, MAC: mac, HasMAC: true}},
		"arp":      {layers.LinkTypeEthernet, frame([]byte(macs), []byte{8, 6}, ip), capture.Packet{Protocol: unix.ETH_P_ARP, Data: ip, MAC: mac, HasMAC: true}},
		"short":    {layers.LinkTypeEthernet, []byte(macs), capture.Packet{}},
		"raw":      {layers.LinkTypeRaw, ip, capture.Packet{Data: ip}},
		"cooked": {layers.LinkTypeLinuxSLL, frame([]byte{0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0, 8, 0}, ip),
			capture.Packet{Protocol: unix.ETH_P_IP, Data: ip, MAC: mac, HasMAC: true, Direction: capture.Out}},
		"cooked, another host's": {layers.LinkTypeLinuxSLL, frame([]byte{0, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0}, ip),
			capture.Packet{Protocol: unix.ETH_P_IP, Data: ip, Direction: capture.Other}},
		"cooked 2": {layers.LinkTypeLinuxSLL2, frame([]byte{8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0}, ip),
			capture.Packet{Protocol: unix.ETH_P_IP, Data: ip, MAC: mac, HasMAC: true, Direction: capture.In}},
		"cooked 2, short": {layers.LinkTypeLinuxSLL2, []byte{8, 0, 0}, capture.Packet{}},
	} {
		t.Run(name, func(t *testing.T) {
			for format, b := range map[string][]byte{"pcap": old(t, tt.link, tt.frame), "pcapng": ng(t, tt.link, "eth7", tt.frame)} {
				want := tt.want
				want.Number, want.Time = 1, start.Truncate(time.Microsecond)
				if format == "pcapng" {
					want.Interface, want.Cut, want.Time = "eth7", 7, start
				}
				got, err := read(b)
				if err != nil || len(got) != 1 {
					t.Fatalf("%s: %v, %v", format, got, err)
				}
				if diff := cmp.Diff(want, got[0]); diff != "" {
					t.Errorf("%s: %s", format, diff)
				}
			}
		})
	}
}

// TestNFLOG reads what a rule said of the packet.
func TestNFLOG(t *testing.T) {
	got, err := read(old(t, linkNFLOG, logged()))
	if err != nil || len(got) != 1 || got[0].Log == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	if p := got[0]; string(p.Log.Prefix) != "closed:input:closed" || p.Log.InDev != 7 || p.Protocol != unix.ETH_P_IP || !bytes.Equal(p.Data, ip) {
		t.Errorf("%+v %+v", p, p.Log)
	}
	whole := logged()
	for cut := len(whole) - 1; cut > len(whole)-len(ip); cut-- {
		if got, err := read(old(t, linkNFLOG, whole[:cut])); err != nil || !bytes.Equal(got[0].Data, ip[:len(ip)-(len(whole)-cut)]) {
			t.Fatalf("cut to %d bytes: %+v, %v", cut, got, err)
		}
	}
	if got, err := read(old(t, linkNFLOG, whole[:len(whole)-len(ip)-2])); err != nil || len(got[0].Data) != 0 || got[0].Log.InDev != 7 {
		t.Errorf("cut before the packet: %+v, %v", got, err)
	}
	_, err = read(old(t, linkNFLOG, []byte{2, 0, 0, 71, 0, 1, 0, 1, 9}))
	if !errors.Is(err, nflog.ErrMalformed) || !strings.HasPrefix(err.Error(), "packet 1: ") {
		t.Errorf("attributes of the other byte order: %v", err)
	}
}

// TestBroken reads what can be read, and names the packet that cannot be.
func TestBroken(t *testing.T) {
	whole := old(t, layers.LinkTypeRaw, ip, ip, ip)
	huge := bytes.Clone(whole)
	binary.LittleEndian.PutUint32(huge[24+16+len(ip)+8:], 1<<30) // the second packet's length
	for name, tt := range map[string]struct {
		bytes []byte
		want  error
		text  string
		read  int
	}{
		"empty":                    {nil, capture.ErrEmpty, "no bytes at all", 0},
		"text":                     {[]byte("hello, world\n"), capture.ErrFormat, "pcap and pcapng can", 0},
		"three bytes":              {whole[:3], capture.ErrFormat, "it ends after 3 bytes", 0},
		"half a file header":       {whole[:20], capture.ErrFormat, "ends in the middle", 0},
		"in a packet":              {whole[:len(whole)-5], io.ErrUnexpectedEOF, "packet 3: the capture ends in the middle of it", 2},
		"behind a packet header":   {whole[:len(whole)-len(ip)], io.ErrUnexpectedEOF, "packet 3: ", 2},
		"in a packet header":       {whole[:len(whole)-len(ip)-9], io.ErrUnexpectedEOF, "packet 3: ", 2},
		"a length of a gigabyte":   {huge, nil, "packet 2: capture length exceeds", 1},
		"a link layer of wireless": {old(t, layers.LinkTypeIEEE802_11, ip), capture.ErrLink, "105 (", 0},
		"gzip, cut short":          {squeeze(t, whole)[:40], nil, "packet", 0},
		"pcapng, cut short":        {ng(t, layers.LinkTypeRaw, "x", ip, ip)[:210], io.ErrUnexpectedEOF, "packet 2: ", 1},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(tt.bytes)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) || tt.read > 0 && len(got) != tt.read {
				t.Errorf("%d packets, %v; want %d and %q", len(got), err, tt.read, tt.text)
			}
		})
	}
	if got, err := read(whole); err != nil || len(got) != 3 || !got[2].Time.After(got[1].Time) {
		t.Errorf("the whole: %v, %v", got, err)
	}
	if got, err := read(squeeze(t, whole)); err != nil || len(got) != 3 {
		t.Errorf("compressed: %v, %v", got, err)
	}
}

func squeeze(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// FuzzReader reads captures of any bytes: it ends, and packets lie within what was read.
func FuzzReader(f *testing.F) {
	f.Add(old(f, layers.LinkTypeEthernet, frame([]byte(macs), []byte{0x81, 0, 0, 5, 8, 0}, ip)))
	f.Add(old(f, layers.LinkTypeLinuxSLL2, frame([]byte{8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0}, ip)))
	f.Add(old(f, linkNFLOG, logged()))
	f.Add(ng(f, layers.LinkTypeRaw, "eth0", ip, ip))
	f.Add(squeeze(f, old(f, layers.LinkTypeRaw, ip)))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := read(b)
		for i, p := range all {
			if p.Number != i+1 || p.Cut < 0 {
				t.Errorf("packet %d: %+v", i+1, p)
			}
		}
		var broken *capture.Error
		if errors.As(err, &broken) && broken.Packet != len(all)+1 {
			t.Errorf("%v after %d packets", err, len(all))
		}
	})
}
