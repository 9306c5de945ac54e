package main

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// The numbers of linux/netfilter/nfnetlink_log.h that the raw reader needs.
const (
	nflogPacket = unix.NFNL_SUBSYS_ULOG << 8 // NFULNL_MSG_PACKET
	nflogConfig = unix.NFNL_SUBSYS_ULOG<<8 | 1

	attributeTimestamp = 3 // NFULA_TIMESTAMP
	attributePayload   = 9 // NFULA_PAYLOAD
)

// rawNFLOG is NFLOG read as a C program would: one recv into one buffer at a
// time, and a walk over the attributes that finds the payload and no more.
type rawNFLOG struct {
	fd  int
	buf []byte
}

// openRawNFLOG binds a group with the same buffers as package nflog's.
func openRawNFLOG(group uint16, threshold uint32, buffer int) (*rawNFLOG, error) {
	fd, err := netlinkSocket(buffer)
	if err != nil {
		return nil, err
	}
	messageBuffer := uint32(4096 - 320) // a block of memory less what an skb needs of it
	if threshold > 10 {
		messageBuffer = 32768 - 320
	}
	bind := request(nflogConfig, unix.NLM_F_ACK, unix.AF_UNSPEC, group,
		attribute(1, []byte{1}),               // NFULA_CFG_CMD: NFULNL_CFG_CMD_BIND
		attribute(2, append(be32(128), 2, 0)), // NFULA_CFG_MODE: copy 128 bytes, NFULNL_COPY_PACKET
		attribute(3, be32(messageBuffer)),     // NFULA_CFG_NLBUFSIZ
		attribute(4, be32(0)),                 // NFULA_CFG_TIMEOUT
		attribute(5, be32(threshold)),         // NFULA_CFG_QTHRESH
		attribute(6, []byte{0, 1}))            // NFULA_CFG_FLAGS: NFULNL_CFG_F_SEQ
	if err := exchange(fd, bind); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind NFLOG group %d: %w", group, err)
	}
	return &rawNFLOG{fd: fd, buf: make([]byte, 64<<10)}, nil
}

func (r *rawNFLOG) close() { unix.Close(r.fd) }

// drain reads all that is in the receive buffer and returns how many packets that was, and their bytes.
func (r *rawNFLOG) drain() (events, payload int, err error) {
	for {
		n, _, err := unix.Recvfrom(r.fd, r.buf, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN:
			return events, payload, nil
		case err != nil && err != unix.ENOBUFS:
			return events, payload, err
		case err == nil:
			e, p := walk(r.buf[:n])
			events += e
			payload += p
		}
	}
}

// walk counts the packets in a datagram and the bytes of their payloads.
func walk(b []byte) (events, payload int) {
	for len(b) >= 16 {
		size := int(binary.NativeEndian.Uint32(b))
		if binary.NativeEndian.Uint16(b[4:]) == nflogPacket {
			events++
			for a := b[20:size]; len(a) >= 4; {
				n := int(binary.NativeEndian.Uint16(a))
				if binary.NativeEndian.Uint16(a[2:]) == attributePayload {
					payload += n - 4
				}
				a = a[min((n+3)&^3, len(a)):]
			}
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return events, payload
}

// next waits for a datagram of one packet and returns when the kernel got that, and the packet. What
// it returns is valid until the next call. Where the buffer was full, it goes on.
func (r *rawNFLOG) next() (at time.Time, packet []byte, err error) {
	for packet == nil {
		n, err := unix.Read(r.fd, r.buf)
		if err == unix.ENOBUFS || err == unix.EINTR || err == unix.EAGAIN {
			return at, nil, nil
		}
		if err != nil {
			return at, nil, err
		}
		if n < 20 || binary.NativeEndian.Uint16(r.buf[4:]) != nflogPacket {
			continue
		}
		for a := r.buf[20:binary.NativeEndian.Uint32(r.buf)]; len(a) >= 4; {
			size := int(binary.NativeEndian.Uint16(a))
			switch binary.NativeEndian.Uint16(a[2:]) {
			case attributeTimestamp: // struct nfulnl_msg_packet_timestamp
				at = time.Unix(int64(binary.BigEndian.Uint64(a[4:])), int64(binary.BigEndian.Uint64(a[12:]))*1000)
			case attributePayload:
				packet = a[4:size]
			}
			a = a[min((size+3)&^3, len(a)):]
		}
	}
	return at, packet, nil
}
