package replay

import (
	"time"

	"moonlatch/engine/capture"
	"moonlatch/engine/lab"
	"moonlatch/engine/packet"
	"moonlatch/nflog"
)

// A batch is what goes to the lanes at once: enough that handing it over costs nothing, and little memory.
const (
	batchPackets = 256
	batchBytes   = 4 << 20
)

// batch is a number of packets. It is read by all lanes, and filled anew when they are done.
type batch struct {
	moments []moment
	packets int // with those that are skipped
	last    time.Time
}

// moment is a packet of the capture and what is to be done with it.
type moment struct {
	number int
	at     time.Time
	length int
	packet lab.Captured
	stream string      // that it was logged to; "" for one to be sent
	log    nflog.Event // of a logged one
	header packet.Packet
}

// next reads the next batch. It is valid until the next call; an error comes with what was read before it.
func (in *input) next() (*batch, error) {
	b := &in.batch
	*b = batch{moments: b.moments[:0]}
	size := 0
	for b.packets < batchPackets && size < batchBytes {
		var p capture.Packet
		if in.first != nil {
			p, in.first = *in.first, nil
		} else if err := in.reader.Next(&p); err != nil {
			return b, err
		}
		b.packets++
		size += len(p.Data)
		if p.Time.Before(in.last) {
			in.late++
		} else {
			in.last = p.Time
		}
		b.last = in.last
		in.take(b, &p)
		if in.pace {
			break // each at its own time
		}
	}
	return b, nil
}

// take adds a packet to a batch, or counts why not.
func (in *input) take(b *batch, p *capture.Packet) {
	if len(b.moments) == cap(b.moments) {
		b.moments = append(b.moments, moment{})[:len(b.moments)]
	}
	m := &b.moments[:len(b.moments)+1][len(b.moments)]
	old := m.packet.Data
	*m = moment{number: p.Number, at: p.Time}
	m.packet.Data = old[:0]
	if why := in.model.place(m, p); why != "" {
		in.skips[why]++
		m.packet.Data = old
		return
	}
	b.moments = b.moments[:len(b.moments)+1]
}

// String shows the packet on one line.
func (m *moment) String() string {
	h, c := &m.header, &m.packet
	p := lab.Packet{
		Src: h.Src, Dst: h.Dst, Proto: h.Proto, Sport: h.Sport, Dport: h.Dport, Flags: h.Flags,
		ICMPType: h.ICMPType, ICMPCode: h.ICMPCode, Iif: c.In(), Oif: c.Out(), Output: c.Output,
	}
	return p.String()
}
