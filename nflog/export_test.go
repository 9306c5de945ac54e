package nflog

import (
	"time"

	"golang.org/x/sys/unix"
)

// Result is what the decoder made of a datagram.
type Result struct {
	Events, Lost, Malformed uint64
	Refused                 unix.Errno
}

// Decode decodes one datagram as a Reader does that expects sequence number next.
func Decode(next uint32, b []byte, handle func(*Event)) Result {
	d := decoder{next: next}
	d.datagram(b, handle)
	return Result{d.tally.events, d.tally.lost, d.tally.malformed, d.refused}
}

// Unbind unbinds the group behind the Reader's back.
func (r *Reader) Unbind() error {
	const unbind = 2 // NFULNL_CFG_CMD_UNBIND
	return request(r.raw, configMessage(msgConfig, r.group, appendAttribute(nil, cfgCmd, []byte{unbind})))
}

// RequestAbsentSubsystem sends what Open sends, to a part of nfnetlink that no
// kernel has, and returns what a kernel without nfnetlink_log would answer.
func RequestAbsentSubsystem() error {
	cfg, err := Config{}.withDefaults()
	if err != nil {
		return err
	}
	conn, err := dial(cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	return bindError(request(raw, configMessage(0x7f<<8|1, cfg.Group, nil)), cfg.Group, false)
}

// Discard takes n datagrams out of the Reader's socket, as if the kernel had had
// no room for them.
func Discard(r *Reader, n int) (err error) {
	b := make([]byte, 4096)
	cerr := r.raw.Control(func(fd uintptr) {
		for range n {
			if _, err = unix.Read(int(fd), b); err != nil {
				return
			}
		}
	})
	if cerr != nil {
		return cerr
	}
	return err
}

// Follower is an adaptive threshold without a kernel.
type Follower struct {
	Threshold uint32
	follower  follower
}

// Follow tells f how many packets there were by now.
func (f *Follower) Follow(now time.Duration, packets uint64) {
	if next, measured := f.follower.next(f.Threshold, now, packets); measured {
		f.Threshold = next
	}
}
