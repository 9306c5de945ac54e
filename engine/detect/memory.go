package detect

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memory is what a detector counts in, straight from the kernel. Go's heap would
// do until the policy is replaced: it gives the memory of the old detectors to the
// new ones, and clears all of it for that, so that pages without a single key in
// them take room too. A page from the kernel takes none until it is touched, and
// goes back when its detector is garbage.
type memory struct {
	maps [][]byte
	err  error // of the first request that failed
}

// room returns room for n values, all zero, or nil once a request has failed. T
// must not hold pointers: the garbage collector does not look here.
func room[T any](m *memory, n int) []T {
	if m.err != nil || n == 0 {
		return nil
	}
	var zero T
	size := n * int(unsafe.Sizeof(zero))
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		m.err = fmt.Errorf("%d bytes of memory: %w", size, err)
		return nil
	}
	m.maps = append(m.maps, b)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

// belongTo has the memory freed when nothing can reach d any more; whatever uses it
// keeps d alive meanwhile. The error is that of the first request that failed.
func (m *memory) belongTo(d *Detector) error {
	if m.err != nil {
		free(m.maps)
		return m.err
	}
	runtime.AddCleanup(d, free, m.maps)
	return nil
}

func free(maps [][]byte) {
	for _, b := range maps {
		_ = unix.Munmap(b) // fails only for what is no mapping
	}
}
