package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"moonlatch/engine/control"
	"moonlatch/engine/netns"
	"moonlatch/scripts"
)

// program is the moonlatch command with a state of its own, on one host.
type program struct {
	path   string
	folder string
	host   *netns.Namespace // nil is the namespace of this process
	daemon *exec.Cmd
}

// metricsAddr is where the daemon serves its metrics, in its own namespace.
const metricsAddr = "127.0.0.1:9713"

func (b *bench) program(name string, host *netns.Namespace) (*program, error) {
	p := &program{path: b.moonlatch, folder: filepath.Join(b.dir, name), host: host}
	return p, os.Mkdir(p.folder, 0o700)
}

func (p *program) command(ctx context.Context, arg ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.path, append(arg, "--state", "state", "--socket", "control.sock")...)
	cmd.Dir = p.folder
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET=") // whoever waits for a service does not wait for this daemon
	return cmd
}

func (p *program) launch(cmd *exec.Cmd) error {
	if p.host != nil {
		return p.host.Start(cmd)
	}
	return cmd.Start()
}

// run runs a command to its end.
func (p *program) run(ctx context.Context, arg ...string) error {
	_, err := p.wait(p.command(ctx, arg...))
	return err
}

func (p *program) wait(cmd *exec.Cmd) (*os.ProcessState, error) {
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	err := p.launch(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("moonlatch %s: %w: %s", cmd.Args[1], err, bytes.TrimSpace(complaint.Bytes()))
	}
	return cmd.ProcessState, nil
}

// start starts the daemon and waits until it answers. In the namespace of this process the kernel ends it together with
// the thread that started it; elsewhere that thread is none that stays.
func (p *program) start(ctx context.Context) error {
	log, err := os.Create(filepath.Join(p.folder, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	p.daemon = p.command(ctx, "run", "--metrics", metricsAddr)
	p.daemon.Stderr = log
	if p.host == nil {
		p.daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	}
	if err := p.launch(p.daemon); err != nil {
		return err
	}
	for {
		if _, err := control.Dial(ctx, filepath.Join(p.folder, "control.sock")); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("the daemon does not answer: %w: %s", errors.Join(ctx.Err(), p.kill()), bytes.TrimSpace(text))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// kill ends the daemon as nobody can refuse.
func (p *program) kill() error {
	err := p.daemon.Process.Kill()
	p.daemon.Wait() // it did not end well, and need not
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// confirm writes a policy and has it in force, confirmed.
func (p *program) confirm(ctx context.Context, name string, text []byte) error {
	if err := p.write(name, text); err != nil {
		return err
	}
	if err := p.run(ctx, "apply", name); err != nil {
		return err
	}
	return p.run(ctx, "confirm")
}

// write puts a file into the folder of the program.
func (p *program) write(name string, text []byte) error {
	return os.WriteFile(filepath.Join(p.folder, name), text, 0o600)
}

// guard starts a daemon in this process's namespace and confirms the policy of a web server.
func (b *bench) guard(ctx context.Context) (*program, error) {
	web, err := scripts.Policies().Open("web.lua")
	if err != nil {
		return nil, err
	}
	defer web.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(web); err != nil {
		return nil, err
	}
	p, err := b.program("guard", nil)
	if err != nil {
		return nil, err
	}
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	if err := p.confirm(ctx, "web.lua", text.Bytes()); err != nil {
		return nil, errors.Join(err, p.kill())
	}
	return p, nil
}

// cpu is the CPU time that the daemon has used.
func (p *program) cpu() (time.Duration, error) { return processTime(p.daemon.Process.Pid) }

func (p *program) memory() (memory, error) { return memoryOf(p.daemon.Process.Pid) }

// usage is what the daemon has done and used so far.
type usage struct {
	metrics
	cpu    time.Duration
	memory memory
}

func (p *program) usage(ctx context.Context) (u usage, err error) {
	if u.metrics, err = readMetrics(ctx); err != nil {
		return u, err
	}
	if u.cpu, err = p.cpu(); err != nil {
		return u, err
	}
	u.memory, err = p.memory()
	return u, err
}

// metrics is what the daemon tells Prometheus.
type metrics map[string]*dto.MetricFamily

func readMetrics(ctx context.Context) (metrics, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metricsAddr+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read the daemon's metrics: %w", err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	m, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read the daemon's metrics: %w", err)
	}
	return m, nil
}

// sum adds up the counters of a family, of those with a label of that value if one is given.
func (m metrics) sum(name, value string) float64 {
	total := 0.0
	for _, metric := range m["moonlatch_"+name].GetMetric() {
		for _, l := range metric.GetLabel() {
			if l.GetValue() == value || value == "" {
				total += metric.GetCounter().GetValue()
				break
			}
		}
	}
	return total
}

// gauge is the value of a family that has one.
func (m metrics) gauge(name string) float64 {
	all := m[name].GetMetric()
	if len(all) == 0 {
		return 0
	}
	return all[0].GetGauge().GetValue()
}

// banLatency is how many bans were made because of packets, and how long in all they took.
func (m metrics) banLatency() (bans uint64, total time.Duration) {
	for _, metric := range m["moonlatch_ban_latency_seconds"].GetMetric() {
		h := metric.GetHistogram()
		bans += h.GetSampleCount()
		total += time.Duration(h.GetSampleSum() * float64(time.Second))
	}
	return bans, total
}
