package nflog

import "encoding/binary"

// Append appends the attributes of e to b, as Parse reads them. What of e's header is of the link layer is left out.
func (e *Event) Append(b []byte) []byte {
	b = appendAttribute(b, attrPacketHdr, []byte{byte(e.HWProtocol >> 8), byte(e.HWProtocol), e.Hook, 0})
	b = append32(b, attrMark, e.Mark)
	b = append32(b, attrInDev, e.InDev)
	b = append32(b, attrOutDev, e.OutDev)
	if e.HasUID {
		b = append32(b, attrUID, e.UID)
	}
	if e.HasGID {
		b = append32(b, attrGID, e.GID)
	}
	if !e.Time.IsZero() {
		var t [16]byte
		binary.BigEndian.PutUint64(t[:], uint64(e.Time.Unix()))
		binary.BigEndian.PutUint64(t[8:], uint64(e.Time.Nanosecond()/1000))
		b = appendAttribute(b, attrTimestamp, t[:])
	}
	if n := len(e.HWAddr); n > 0 && n <= 8 {
		var hw [12]byte
		binary.BigEndian.PutUint16(hw[:], uint16(n))
		copy(hw[4:], e.HWAddr)
		b = appendAttribute(b, attrHWAddr, hw[:])
	}
	b = appendAttribute(b, attrPrefix, e.Prefix)
	return appendAttribute(b, attrPayload, e.Payload)
}

func append32(b []byte, kind uint16, v uint32) []byte {
	return appendAttribute(b, kind, []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}
