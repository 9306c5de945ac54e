package detect

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// resident is how much memory this process has.
func resident(t *testing.T) int {
	t.Helper()
	var pages int
	b, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		_, err = fmt.Sscanf(string(b), "%d %d", new(int), &pages) // proc(5)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pages * unix.Getpagesize()
}

// TestMemoryOfReplacedDetectors: a daemon whose policy is replaced again and again
// has no more memory than one that just started, although each detector may need all of MaxMemory.
func TestMemoryOfReplacedDetectors(t *testing.T) {
	largest := Spec{Count: Events, Per: Src, Over: 100, Within: time.Minute}
	before := resident(t)
	for i := range 8 {
		d := newDetector(t, largest)
		for n := range 1000 {
			d.Observe(probe(fmt.Sprintf("192.0.%d.%d", n/256, n%256), 0, 80))
		}
		d = nil
		runtime.GC()
		if grown := resident(t) - before; grown > 32<<20 {
			t.Fatalf("%d MiB after %d detectors of 1,000 keys each", grown>>20, i+1)
		}
	}
}

// TestMemoryIsGivenBack: what a full detector held is free once it is not used any more.
func TestMemoryIsGivenBack(t *testing.T) {
	before := resident(t)
	fill := func() {
		d := newDetector(t, Spec{Count: Events, Per: Src, Over: 50, Within: time.Minute})
		for i := range 4 * d.Stats().Capacity {
			p := probe("192.0.2.1", 0, 80)
			forge(p, i)
			d.Observe(p)
		}
		if held := resident(t) - before; held < 24<<20 {
			t.Errorf("a full detector holds %d MiB: too little to tell anything", held>>20)
		}
	}
	fill()
	for deadline := time.Now().Add(20 * time.Second); resident(t)-before > 16<<20; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d MiB are still held", (resident(t)-before)>>20)
		}
		runtime.GC()
	}
}
