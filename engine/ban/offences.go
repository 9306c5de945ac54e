package ban

// maxOffenders bounds how many targets' offences are remembered.
const maxOffenders = 1 << 16

// offences counts how often each target was banned. Of the least recent offenders it
// forgets half at once when there are too many: the 32,768 latest are always remembered.
type offences struct {
	latest, earlier map[target]int
}

func (o *offences) count(t target) int {
	if n, ok := o.latest[t]; ok {
		return n
	}
	return o.earlier[t]
}

func (o *offences) add(t target) { o.set(t, o.count(t)+1) }

// undo takes back one offence.
func (o *offences) undo(t target) {
	if n := o.count(t); n > 0 {
		o.set(t, n-1)
	}
}

func (o *offences) set(t target, n int) {
	if o.latest == nil || len(o.latest) >= maxOffenders/2 {
		o.latest, o.earlier = make(map[target]int), o.latest
	}
	o.latest[t] = n
}
