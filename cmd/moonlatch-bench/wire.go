package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/netns"
)

// The server is the namespace of this process. Whoever sends to it may take any
// address of 10.0.0.0/8.
const (
	serverLink   = "bench0"
	serverPrefix = "10.0.0.1/8"
	serverAddr   = 10<<24 | 1
)

// wire sends TCP SYN packets to the server, as raw frames from the far end of a cable.
type wire struct {
	far   *netns.Namespace
	fd    int
	frame [14 + 20 + 20]byte // Ethernet, IPv4 and TCP header
}

// newWire plugs the cable in.
func newWire() (*wire, error) {
	server, err := netns.Current()
	if err != nil {
		return nil, err
	}
	defer server.Close()
	w := &wire{fd: -1}
	if w.far, err = netns.New(); err != nil {
		return nil, err
	}
	err = netns.Veth(server, serverLink, w.far, "eth0")
	if err == nil {
		err = server.AddAddr(serverLink, serverPrefix)
	}
	if err == nil {
		err = w.open()
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *wire) close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
	w.far.Close()
}

// open opens the socket and prepares the frame.
func (w *wire) open() error {
	near, err := net.InterfaceByName(serverLink)
	if err != nil {
		return err
	}
	return w.far.Do(func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		if err := unix.Bind(w.fd, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		// Without a queueing discipline between, a frame is at the server when the system call returns.
		if err := unix.SetsockoptInt(w.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		w.prepare(near.HardwareAddr, link.HardwareAddr)
		return nil
	})
}

func (w *wire) prepare(to, from net.HardwareAddr) {
	f := w.frame[:]
	copy(f, to)
	copy(f[6:], from)
	binary.BigEndian.PutUint16(f[12:], unix.ETH_P_IP)
	ip, tcp := f[14:34], f[34:]
	ip[0] = 4<<4 | 5 // version, length of the header in words
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(tcp)))
	ip[8], ip[9] = 57, unix.IPPROTO_TCP
	binary.BigEndian.PutUint32(ip[16:], serverAddr)
	tcp[12], tcp[13] = 5<<4, 1<<1 // length of the header in words, SYN
	binary.BigEndian.PutUint16(tcp[14:], 1024)
}

// syn sends a SYN from a source to a port.
func (w *wire) syn(source uint32, port uint16) error {
	w.fill(source, port)
	_, err := unix.Write(w.fd, w.frame[:])
	if err != nil && err != unix.ENOBUFS { // the far end's queue is full: that packet is lost
		return fmt.Errorf("send a probe: %w", err)
	}
	return nil
}

// fill writes addresses, ports and checksums into the frame.
func (w *wire) fill(source uint32, port uint16) {
	ip, tcp := w.frame[14:34], w.frame[34:]
	binary.BigEndian.PutUint32(ip[12:], source)
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], checksum(sum(ip)))
	binary.BigEndian.PutUint16(tcp, 1024+port%50_000)
	binary.BigEndian.PutUint16(tcp[2:], port)
	binary.BigEndian.PutUint16(tcp[16:], 0)
	pseudo := sum(ip[12:20]) + unix.IPPROTO_TCP + uint32(len(tcp)) // RFC 9293 §3.1
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudo+sum(tcp)))
}

func sum(b []byte) uint32 {
	var s uint32
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	return s
}

// checksum is the Internet checksum, RFC 1071.
func checksum(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// paced calls send n times, evenly at a rate per second as far as the machine
// lets it: what is late is sent at once.
func paced(n int, rate float64, send func(i int) error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // sleep no longer than asked for; where it fails, a little longer
	start := time.Now()
	for i := range n {
		if wait := time.Until(start.Add(time.Duration(float64(i) / rate * float64(time.Second)))); wait > 0 {
			ts := unix.NsecToTimespec(int64(wait))
			unix.Nanosleep(&ts, nil) // a signal may end it: then that one is early
		}
		if err := send(i); err != nil {
			return err
		}
	}
	return nil
}
