package nflog

import "golang.org/x/sys/unix"

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
	e := attributeEncoder()
	e.Uint8(cfgCmd, 2) // NFULNL_CFG_CMD_UNBIND
	attributes, err := e.Encode()
	if err != nil {
		return err
	}
	return request(r.conn, r.raw, configMessage(msgConfig, r.group, attributes))
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
	return bindError(request(conn, raw, configMessage(0x7f<<8|1, cfg.Group, nil)), cfg.Group, false)
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
