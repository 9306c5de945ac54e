package control

import (
	"fmt"
	"strings"
)

// Call is a request that somebody made, and what came of it.
type Call struct {
	UID, PID int    // of the process at the other end, as the kernel tells them
	Command  string // "ban 203.0.113.9 for 1h0m0s"
	Err      error  // nil if it was done
}

// Auditor is a Service that is told of each call that changes something, and of each that was not permitted, before it is answered.
type Auditor interface{ Audited(Call) }

// Audit tells a Service's auditor, if it has one, of a call that came by another way than the socket.
func Audit(s Service, c Call) { auditor(s)(c) }

// Describe writes a request to a call of that name down.
func Describe(name string, req any) string { return describe("/v1/"+name, req) }

// describe writes a request down.
func describe(pattern string, req any) string {
	_, name, _ := strings.Cut(pattern, "/v1/")
	switch r := req.(type) {
	case ApplyRequest:
		return name + " " + r.Path
	case ConfirmRequest:
		return generationOf(name, r.Generation)
	case RollbackRequest:
		return generationOf(name, r.Generation)
	case ExtendRequest:
		return fmt.Sprintf("%s %s", name, r.For)
	case BanRequest:
		return fmt.Sprintf("%s %s for %s", name, r.Target, r.For)
	case ProtectRequest:
		return name + " " + r.Target
	case UnprotectRequest:
		return name + " " + r.Target
	case UnbanRequest:
		if r.All {
			return name + " --all"
		}
		return name + " " + r.Target
	}
	return name
}

// auditor is what to tell a Service's calls to.
func auditor(s Service) func(Call) {
	if a, ok := s.(Auditor); ok {
		return a.Audited
	}
	return func(Call) {}
}

// call is a call of this peer's.
func (p peer) call(command string, err error) Call {
	return Call{UID: int(p.uid), PID: int(p.pid), Command: command, Err: err}
}

func generationOf(name string, number uint64) string {
	if number == 0 {
		return name
	}
	return fmt.Sprintf("%s %d", name, number)
}
