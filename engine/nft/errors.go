package nft

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// What an operation can fail with, whether it went over netlink or through the nft command. Test with errors.Is.
var (
	ErrNotExist    = errors.New("does not exist")
	ErrExist       = errors.New("exists already, or overlaps with what does")
	ErrPermission  = errors.New("not permitted: run it as root (sudo), or with CAP_NET_ADMIN")
	ErrFull        = errors.New("the set is full")
	ErrBusy        = errors.New("still in use")
	ErrTooBig      = errors.New("larger than this process may send to the kernel at once: run it as root outside of a user namespace, or raise the sysctls net.core.wmem_default and net.core.wmem_max")
	ErrInterrupted = errors.New("others kept changing what was being read")
	ErrUnsupported = errors.New("this kernel does not support it (nf_tables needs CONFIG_NF_TABLES, Linux 5.10 or newer)")
	ErrNoBinary    = errors.New("the nft command is missing: install the nftables package")
)

// sentinel translates an errno that nf_tables returns, nil if there is nothing to branch on.
func sentinel(errno unix.Errno) error {
	switch errno {
	case unix.ENOENT:
		return ErrNotExist
	case unix.EEXIST, unix.ENOTEMPTY: // ENOTEMPTY: an interval overlaps in part
		return ErrExist
	case unix.EPERM, unix.EACCES:
		return ErrPermission
	case unix.ENFILE, unix.ENOSPC:
		return ErrFull
	case unix.EBUSY:
		return ErrBusy
	case unix.EMSGSIZE:
		return ErrTooBig
	case unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.EOPNOTSUPP:
		return ErrUnsupported
	}
	return nil
}

// sentinelOf translates what nft prints, which ends with the C library's English text for an errno.
func sentinelOf(message string) error {
	message, _, _ = strings.Cut(message, "; did you mean")
	for _, errno := range []unix.Errno{
		unix.ENOENT, unix.EEXIST, unix.ENOTEMPTY, unix.EPERM, unix.EACCES, unix.ENFILE, unix.ENOSPC, unix.EBUSY,
		unix.EMSGSIZE, unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.EOPNOTSUPP,
	} {
		if text := errnoText(errno); strings.HasSuffix(message, text) {
			return sentinel(errno)
		}
	}
	return nil
}

// errnoText returns the text of strerror(3). Go's own differs in the case of the first letter, and in one word.
func errnoText(errno unix.Errno) string {
	text := errno.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// A kernelError is the kernel's refusal of a netlink request.
type kernelError struct {
	errno unix.Errno
	text  string // the kernel's own explanation, "" if it gives none
	// offset is where in the refused message the offending attribute stands, 0 if the kernel does not tell.
	offset int
}

func (e *kernelError) Error() string {
	reason := e.errno.Error()
	if s := sentinel(e.errno); s != nil {
		reason = fmt.Sprintf("%v (%v)", s, e.errno)
	}
	if e.text != "" {
		reason += ": " + e.text
	}
	return reason
}

// Unwrap makes both the sentinel and the errno testable.
func (e *kernelError) Unwrap() []error {
	if s := sentinel(e.errno); s != nil {
		return []error{s, e.errno}
	}
	return []error{e.errno}
}
