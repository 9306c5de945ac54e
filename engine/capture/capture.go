// Package capture reads packet captures, pcap and pcapng: each packet from its
// network header on, with what the link layer tells of it.
package capture

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// What a capture can be refused for, and end with. Test with errors.Is.
var (
	ErrEmpty  = errors.New("the capture is empty: it has no bytes at all")
	ErrFormat = errors.New("no capture that can be read: pcap and pcapng can, also compressed with gzip")
	ErrLink   = errors.New("its link layer is not known here")
)

// Direction is where a packet was going, seen from the host that captured it.
type Direction uint8

// The directions. Most captures do not tell.
const (
	Unknown Direction = iota
	In                // to this host, or to all
	Out               // sent by this host
	Other             // to another host: seen, but not received
)

// Packet is one captured packet. Its slices are the Reader's, and valid until the next one is read.
type Packet struct {
	Number    int       // from 1, as tcpdump and Wireshark count
	Time      time.Time // the zero time where the capture does not tell
	Protocol  uint16    // its ethertype, ETH_P_* of linux/if_ether.h; 0 where the capture does not tell
	Data      []byte    // from its network header on, as far as it was captured
	Cut       int       // how many bytes of it were not captured
	Direction Direction
	Interface string // "" where the capture does not tell
	MAC       [6]byte
	HasMAC    bool // MAC is that of the sender
	Log       *Log // of a capture of NFLOG; otherwise nil
}

// Error says which packet of a capture could not be read. All those before it could.
type Error struct {
	Packet int
	err    error
}

func (e *Error) Error() string { return fmt.Sprintf("packet %d: %v", e.Packet, e.err) }

// Unwrap returns what was wrong.
func (e *Error) Unwrap() error { return e.err }

// Reader reads a capture, in memory that does not grow with it. It is for one goroutine.
type Reader struct {
	source source
	number int
	log    Log
	failed error
}

// source is a reader of one format.
type source interface {
	// next returns a packet with its link layer, and what the format tells of it.
	next() (data []byte, info frame, err error)
}

// frame is what a format tells of a packet.
type frame struct {
	gopacket.CaptureInfo
	link      layers.LinkType
	name      string // of the interface
	direction Direction
}

// NewReader reads the beginning of a capture. Errors are ErrEmpty, ErrFormat, and those of r.
func NewReader(r io.Reader) (*Reader, error) {
	buffered := bufio.NewReaderSize(r, 1<<16)
	if _, err := buffered.Peek(1); errors.Is(err, io.EOF) {
		return nil, ErrEmpty
	} else if err != nil {
		return nil, err
	}
	plain, err := uncompressed(buffered)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrFormat, err)
	}
	magic, err := plain.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("%w (it ends after %d bytes)", ErrFormat, len(magic))
	}
	const sectionHeader = "\x0a\x0d\x0d\x0a" // the first block of every pcapng file
	if string(magic) == sectionHeader {
		ng, err := pcapgo.NewNgReader(plain, pcapgo.NgReaderOptions{WantMixedLinkType: true})
		if err != nil {
			return nil, fmt.Errorf("%w (%w)", ErrFormat, cutShort(err))
		}
		return &Reader{source: pcapng{ng}}, nil
	}
	old, err := pcapgo.NewReader(plain)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrFormat, cutShort(err))
	}
	if err := known(old.LinkType()); err != nil {
		return nil, err
	}
	return &Reader{source: pcap{old}}, nil
}

// Next reads the next packet into p, whether it is one of IP or not. At the end the error is io.EOF; otherwise it is an
// *Error, and there is no packet after it.
func (r *Reader) Next(p *Packet) error {
	if r.failed != nil {
		return r.failed
	}
	data, info, err := r.source.next()
	if errors.Is(err, io.EOF) {
		r.failed = io.EOF
		return io.EOF
	}
	r.number++
	if err == nil {
		*p = Packet{Number: r.number, Time: info.Timestamp, Interface: info.name, Direction: info.direction, Cut: max(info.Length-len(data), 0)}
		err = p.strip(info.link, data, &r.log)
	}
	if err != nil {
		r.failed = &Error{r.number, cutShort(err)}
		return r.failed
	}
	return nil
}

// cutShort says in plain words that a file ends too early.
func cutShort(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("the capture ends in the middle of it: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// pcap is the older format: one link layer, no interfaces.
type pcap struct{ *pcapgo.Reader }

func (p pcap) next() ([]byte, frame, error) {
	data, info, err := p.ZeroCopyReadPacketData()
	if errors.Is(err, io.EOF) && info.CaptureLength > 0 {
		err = io.ErrUnexpectedEOF // its header was there
	}
	return data, frame{CaptureInfo: info, link: p.LinkType()}, err
}

// pcapng names the interface of each packet, and may tell its direction.
type pcapng struct{ *pcapgo.NgReader }

func (p pcapng) next() ([]byte, frame, error) {
	data, info, options, err := p.ZeroCopyReadPacketDataWithOptions()
	if err != nil {
		return nil, frame{}, err
	}
	f := frame{CaptureInfo: info}
	if by, err := p.Interface(info.InterfaceIndex); err == nil {
		f.link, f.name = by.LinkType, by.Name
	}
	if options.Flags != nil {
		switch options.Flags.Direction {
		case pcapgo.NgEpbFlagDirectionInbound:
			f.direction = In
		case pcapgo.NgEpbFlagDirectionOutbound:
			f.direction = Out
		}
	}
	return data, f, nil
}
