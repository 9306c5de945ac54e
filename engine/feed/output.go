package feed

// OutputStats are the running totals of what takes items elsewhere.
type OutputStats struct {
	Name       string
	Sent       uint64
	Failed     uint64 // attempts that failed
	Retried    uint64 // of these, tried again
	Suppressed uint64 // held back by a rate limit
	Dropped    uint64 // overwritten, or given up
}
