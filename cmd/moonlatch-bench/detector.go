package main

import (
	"context"
	"runtime"
	"time"

	"moonlatch/engine/detect"
	"moonlatch/engine/packet"
)

func detectorRows() []row {
	return []row{
		{ID: "detector.known", What: "detector: CPU per event, 1,000 sources", Unit: nanoseconds, Max: most(300)},
		{ID: "detector.flood", What: "detector: CPU per event, ever new sources", Unit: nanoseconds, Max: most(300)},
		{ID: "detector.allocations", What: "detector: allocations per event", Unit: count, Max: most(0)},
	}
}

// measureDetector observes packets like those of a scan, of sources that are all
// known, and of a flood, each of a source of its own, into a table that is full.
func measureDetector(_ context.Context, b *bench) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var allocated uint64
	for id, sources := range map[string]uint32{"detector.known": 1000, "detector.flood": 1 << 24} {
		d, err := detect.New(detect.Spec{Name: "portscan", Count: detect.DistinctDport, Over: 10, Within: time.Minute})
		if err != nil {
			return err
		}
		shown := observe(d, sources, 0, b.size.events) // fills the table
		var perEvent []float64
		var before, after runtime.MemStats
		for range b.size.repetition {
			runtime.ReadMemStats(&before)
			start := threadTime()
			shown = observe(d, sources, shown, b.size.events)
			perEvent = append(perEvent, float64(threadTime()-start)/float64(b.size.events))
			runtime.ReadMemStats(&after)
			allocated += after.Mallocs - before.Mallocs
		}
		b.find(id, finding{Measured: median(perEvent), Samples: len(perEvent)})
	}
	b.find("detector.allocations", finding{Measured: float64(allocated / uint64(2*b.size.repetition*b.size.events))})
	return nil
}

// observe shows a detector n packets, those from number from on, and returns the
// number of the next. A source only ever tries ten ports, so nobody is reported.
func observe(d *detect.Detector, sources, from uint32, n int) (next uint32) {
	p := packet.Packet{HasPorts: true}
	began := time.Unix(1_700_000_000, 0)
	for i := from; i < from+uint32(n); i++ {
		source := (i * 2654435761) % sources // in no order
		p.Src = addr4(10<<24 | source)
		p.Dport = uint16(i % 10)
		p.Time = began.Add(time.Duration(i) * time.Microsecond)
		d.Observe(&p)
	}
	return from + uint32(n)
}
