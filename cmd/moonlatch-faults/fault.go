package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The kinds of faults.
const (
	faultKillAll     = "kill every process"
	faultKillCommand = "kill the command"
	faultKillDaemon  = "kill the daemon"
	faultAtCall      = "kill at system call"
	faultStopAll     = "stop every process"
	faultStopDaemon  = "stop the daemon"
	faultFlush       = "nft flush ruleset"
	faultFull        = "full disk"
	faultReadOnly    = "read-only disk"
	faultNFT         = "nft " // and how it works, or not

	// These strike guards, and safety nets, only.
	faultKillRest     = "kill everything but the watchdogs"
	faultKillWatchdog = "kill the watchdog on duty"
	faultStopParent   = "stop a guard's parent"

	// These are steps of their own.
	faultReboot = "reboot"
	faultDamage = "damaged store"
	faultPower  = "power cut"
	faultClock  = "clock jump"
)

func faultWeights() []weight {
	return []weight{
		{faultKillAll, 12}, {faultKillCommand, 12}, {faultKillDaemon, 12}, {faultAtCall, 14},
		{faultStopAll, 8}, {faultStopDaemon, 6}, {faultFlush, 9}, {faultFull, 7}, {faultReadOnly, 5},
		{faultNFT + nftFails, 3}, {faultNFT + nftHangs, 3}, {faultNFT + nftSlow, 3}, {faultNFT + nftDies, 3},
		{faultNFT + nftStays, 3}, {faultNFT + nftKilled, 9}, {faultNFT + nftStopped, 5},
	}
}

// faultNames lists every kind, in the order of the report.
func faultNames() []string {
	var out []string
	for _, w := range faultWeights() {
		out = append(out, w.what)
	}
	return append(out, faultKillRest, faultKillWatchdog, faultStopParent, faultReboot, faultDamage, faultPower, faultClock)
}

// strike injects a fault now. It reports whether there was anything to strike.
func (h *host) strike(f fault) (bool, error) {
	p := h.program
	switch f.kind {
	case faultKillAll:
		return h.signal(syscall.SIGKILL, func(process) bool { return true }), nil
	case faultKillCommand:
		return h.signal(syscall.SIGKILL, process.command), nil
	case faultKillDaemon:
		return h.signal(syscall.SIGKILL, func(q process) bool { return q.daemon }), nil
	case faultKillRest:
		return h.signal(syscall.SIGKILL, func(q process) bool { return !q.watchdog }), nil
	case faultKillWatchdog:
		return h.killWatchdog(), nil
	case faultStopParent:
		return h.pause(f.lasts, h.signal(syscall.SIGSTOP, process.command)), nil
	case faultStopAll:
		return h.pause(f.lasts, h.signal(syscall.SIGSTOP, func(process) bool { return true })), nil
	case faultStopDaemon:
		return h.pause(f.lasts, h.signal(syscall.SIGSTOP, func(q process) bool { return q.daemon })), nil
	case faultFlush:
		return true, h.flush()
	case faultFull:
		return true, h.fill(f.slack)
	case faultReadOnly:
		return true, h.readOnly()
	}
	if how, ok := strings.CutPrefix(f.kind, faultNFT); ok {
		h.wrapped.Store(f.kind)
		return false, p.wrap(how, f.instant, f.lasts) // it strikes when nft is used
	}
	return false, fmt.Errorf("no such fault: %s", f.kind)
}

// signal sends a signal to the processes that are chosen, and reports whether there were any.
func (h *host) signal(sig syscall.Signal, chosen func(process) bool) bool {
	hit := false
	for _, q := range h.program.processes() {
		if chosen(q) && syscall.Kill(q.pid, sig) == nil {
			hit = true
		}
	}
	return hit
}

// killWatchdog kills the one on duty of a guard's two.
func (h *host) killWatchdog() bool {
	var onDuty []string // of a guard, and of a safety net, which may be over
	for _, watch := range []string{"guard", "safetynet"} {
		if pid, err := os.ReadFile(filepath.Join(h.disk(), watch, "lock")); err == nil {
			onDuty = append(onDuty, string(pid))
		}
	}
	n := 0
	for _, q := range h.program.processes() {
		if q.watchdog {
			n++
		}
	}
	return n > 1 && h.signal(syscall.SIGKILL, func(q process) bool { return q.watchdog && slices.Contains(onDuty, strconv.Itoa(q.pid)) })
}

// pause lets everything that was stopped go on after a while.
func (h *host) pause(lasts time.Duration, hit bool) bool {
	if hit {
		time.Sleep(lasts)
		h.goOn()
	}
	return hit
}

func (h *host) goOn() { h.signal(syscall.SIGCONT, func(process) bool { return true }) }

// flush does what somebody else may do at any time.
func (h *host) flush() error {
	_, err := h.nft("flush", "ruleset")
	return err
}

// onTrial asks the kernel whether a generation has a lease.
func (h *host) onTrial() bool {
	out, err := h.nft("list", "sets")
	return err == nil && strings.Contains(out, "set lease {")
}

// nft runs the machine's own nft on the host.
func (h *host) nft(arg ...string) (string, error) {
	path, err := lookPath("nft")
	if err != nil {
		return "", err
	}
	var out strings.Builder
	cmd := exec.Command(path, arg...)
	cmd.Stdout = &out
	if err := h.server.Start(cmd); err != nil {
		return "", err
	}
	err = cmd.Wait()
	return out.String(), err
}

func (h *host) disk() string   { return filepath.Join(h.folder, "state") }
func (h *host) filler() string { return filepath.Join(h.disk(), "filler") }

// fill fills the disk, but for some bytes.
func (h *host) fill(slack int) error {
	f, err := os.OpenFile(h.filler(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if errors.Is(err, unix.EROFS) {
		return nil // worse already
	}
	if err != nil {
		return err
	}
	defer f.Close()
	chunk := make([]byte, 1<<16)
	for len(chunk) > 0 {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return f.Truncate(max(0, st.Size()-int64(slack)))
}

// readOnly lets nobody open a file of the disk for writing, as after an error of it.
func (h *host) readOnly() error {
	if err := unix.Mount(h.disk(), h.disk(), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("make the disk read-only: %w", err)
	}
	if err := unix.Mount("", h.disk(), "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make the disk read-only: %w", err)
	}
	return nil
}

// mend ends everything that is still broken: from here on Moonlatch has to find
// its way back by itself.
func (h *host) mend(ctx context.Context) error {
	err := h.repair()
	// An nft that hangs does so for ever, and so might a command that waits for it: somebody kills them.
	for deadline := time.Now().Add(patience); ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		busy := false
		for _, q := range h.program.processes() {
			if q.name == "sleep" {
				syscall.Kill(q.pid, syscall.SIGKILL)
			}
			if !q.daemon && !q.watchdog {
				busy = true
				if time.Now().After(deadline) {
					syscall.Kill(q.pid, syscall.SIGKILL)
				}
			}
		}
		if !busy {
			return err
		}
	}
	return ctx.Err()
}

// repair is what the machine's administrator does: the disk works again, and so does nft.
func (h *host) repair() error {
	used, err := h.program.unwrap()
	if kind := h.wrapped.Swap("").(string); used && kind != "" {
		h.struck(kind)
	}
	var st unix.Statfs_t
	for unix.Statfs(h.disk(), &st) == nil && st.Flags&unix.ST_RDONLY != 0 {
		if umountErr := unix.Unmount(h.disk(), unix.MNT_DETACH); umountErr != nil {
			return errors.Join(err, umountErr)
		}
	}
	if removeErr := os.Remove(h.filler()); !errors.Is(removeErr, os.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	h.goOn()
	return err
}
