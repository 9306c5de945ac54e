package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tally writes what was counted: the busiest sources and ports, and the rest of each stream together.
func (s *session) tally(ctx context.Context, t *tally) error {
	for _, row := range t.busiestSources() {
		if err := s.exec(ctx, sqlSource, t.start.UnixMilli(), row.stream, sourceBlob(row.sourceKey), row.events, row.last.UnixMilli(), showPorts(row.ports[:])); err != nil {
			return err
		}
	}
	for _, row := range t.busiestPorts() {
		if err := s.exec(ctx, sqlPort, t.start.UnixMilli(), row.stream, row.port.proto, row.port.number, row.events); err != nil {
			return err
		}
	}
	if t.dropped > 0 {
		if err := s.exec(ctx, sqlDropped, t.start.UnixMilli(), t.dropped); err != nil {
			return err
		}
	}
	return s.packets(ctx, t)
}

// sourceBlob is empty for all that have no row of their own: NULL cannot be a key.
func sourceBlob(k sourceKey) []byte {
	if b := addrBlob(k.addr); b != nil {
		return b
	}
	return []byte{}
}

type sourceRow struct {
	sourceKey
	sourceCount
}

func (t *tally) busiestSources() []sourceRow {
	rows := make([]sourceRow, 0, len(t.sources))
	for k, c := range t.sources {
		rows = append(rows, sourceRow{k, *c})
	}
	slices.SortFunc(rows, func(x, y sourceRow) int { return cmp.Compare(y.events, x.events) })
	if len(rows) <= maxRows {
		return rows
	}
	others := map[string]*sourceRow{}
	for _, r := range rows[maxRows:] {
		o := others[r.stream]
		if o == nil {
			o = &sourceRow{sourceKey: sourceKey{stream: r.stream}}
			others[r.stream] = o
		}
		o.events += r.events
		if r.last.After(o.last) {
			o.last = r.last
		}
	}
	rows = rows[:maxRows]
	for _, stream := range slices.Sorted(maps.Keys(others)) {
		rows = append(rows, *others[stream])
	}
	return rows
}

type portRow struct {
	portKey
	events int64
}

func (t *tally) busiestPorts() []portRow {
	rows := make([]portRow, 0, len(t.ports))
	for k, n := range t.ports {
		rows = append(rows, portRow{k, n})
	}
	slices.SortFunc(rows, func(x, y portRow) int { return cmp.Compare(y.events, x.events) })
	if len(rows) <= maxRows {
		return rows
	}
	others := map[string]int64{}
	for _, r := range rows[maxRows:] {
		others[r.stream] += r.events
	}
	rows = rows[:maxRows]
	for _, stream := range slices.Sorted(maps.Keys(others)) {
		rows = append(rows, portRow{portKey{stream: stream}, others[stream]})
	}
	return rows
}

// packets adds the latest events to the ring.
func (s *session) packets(ctx context.Context, t *tally) error {
	if len(t.latest) == 0 {
		return nil
	}
	for i := range t.latest {
		e := &t.latest[(t.next+i)%len(t.latest)]
		if err := s.exec(ctx, sqlPacket, e.Time.UnixMilli(), e.Stream, e.Rule, addrBlob(e.Src), addrBlob(e.Dst), e.Proto, e.Sport, e.Dport); err != nil {
			return err
		}
	}
	return s.exec(ctx, sqlOldPackets, ring)
}

func showPorts(ports []port) string {
	var b strings.Builder
	for _, p := range ports {
		if p == (port{}) {
			break
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// String writes a port as 22/tcp, and what has none by its protocol alone.
func (p port) String() string {
	if p.number == 0 {
		return ProtoName(p.proto)
	}
	return fmt.Sprintf("%d/%s", p.number, ProtoName(p.proto))
}

// ProtoName is the name of a protocol, IPPROTO_* of netinet/in.h, or its number.
func ProtoName(proto uint8) string {
	switch proto {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "icmpv6"
	}
	return fmt.Sprint(proto)
}
