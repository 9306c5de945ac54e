package demo

import (
	"context"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

const (
	scannedPorts = 1000
	scanLimit    = 4 * time.Second
)

// scan probes the server's first thousand ports from the attacker: with nmap
// where there is one, and otherwise by trying to connect. It returns what did it.
func (s *stage) scan(ctx context.Context, w *witness) (string, error) {
	if name := scannerName(ctx); name != "" {
		s.nmap(ctx)
		// Where nmap may not open raw sockets it sends nothing, and says so at length.
		if sent, _, err := w.counts(); err != nil || sent > scannedPorts/10 {
			return name + " -sS", err
		}
	}
	return "a connect scan of its own", s.connectScan(ctx)
}

// nmap runs a SYN scan. Its findings and its complaints do not matter here: the
// witness tells what it sent.
func (s *stage) nmap(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*scanLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nmap", "-n", "-Pn", "-sS", "-T4", "--min-rate", "400", "--max-retries", "0",
		"--host-timeout", scanLimit.String(), "-p", "1-"+strconv.Itoa(scannedPorts), serverToOutside)
	if s.attacker.Start(cmd) == nil {
		cmd.Wait()
	}
}

// connectScan tries to connect to every port, in no order, many at a time.
func (s *stage) connectScan(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, scanLimit)
	defer cancel()
	const atOnce, patience = 50, 150 * time.Millisecond
	ports := make(chan int, scannedPorts)
	for _, p := range rand.Perm(scannedPorts) {
		ports <- p + 1
	}
	close(ports)
	var workers sync.WaitGroup
	errs := make(chan error, atOnce)
	for range atOnce {
		workers.Go(func() {
			errs <- s.attacker.Do(func() error {
				for p := range ports {
					if ctx.Err() != nil {
						return nil
					}
					if c, err := net.DialTimeout("tcp4", net.JoinHostPort(serverToOutside, strconv.Itoa(p)), patience); err == nil {
						c.Close()
					}
				}
				return nil
			})
		})
	}
	workers.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
