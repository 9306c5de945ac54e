package demo

import (
	"os"
	"path/filepath"
	"strconv"
)

// others lists the processes in this process's network namespace that run this
// same program, without this process.
func others() ([]int, error) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	out := []int{}
	for _, f := range folders {
		pid, err := strconv.Atoi(filepath.Base(f))
		if err != nil || pid == os.Getpid() {
			continue
		}
		// What cannot be read belongs to somebody else, or is gone.
		its, _ := os.Readlink(f + "/exe")
		ns, _ := os.Readlink(f + "/ns/net")
		if its == exe && ns == here {
			out = append(out, pid)
		}
	}
	return out, nil
}
