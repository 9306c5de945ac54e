package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// histogram is the sum and the count of a Prometheus histogram without labels.
type histogram struct {
	sum   float64
	count uint64
}

// banLatency reads from the daemon's metrics how long bans took, in seconds, from
// the timestamp that the kernel gave the deciding packet to the kernel's
// acknowledgement of the ban.
func banLatency(ctx context.Context) (histogram, error) {
	const name = "moonlatch_ban_latency_seconds"
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metricsAddr+"/metrics", nil)
	if err != nil {
		return histogram{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return histogram{}, fmt.Errorf("read the daemon's metrics: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return histogram{}, fmt.Errorf("read the daemon's metrics: %s", resp.Status)
	}
	h, err := parseHistogram(resp.Body, name)
	if err != nil {
		return histogram{}, fmt.Errorf("read the daemon's metrics: %w", err)
	}
	return h, nil
}

// parseHistogram finds a histogram in Prometheus' text format.
func parseHistogram(r io.Reader, name string) (histogram, error) {
	var h histogram
	var sumErr, countErr = errors.New(name + "_sum is not there"), errors.New(name + "_count is not there")
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		metric, value, _ := strings.Cut(lines.Text(), " ")
		switch metric {
		case name + "_sum":
			h.sum, sumErr = strconv.ParseFloat(value, 64)
		case name + "_count":
			h.count, countErr = strconv.ParseUint(value, 10, 64)
		}
	}
	return h, errors.Join(lines.Err(), sumErr, countErr)
}
