// Package memory is what policies remember beyond their own life: a few short
// values under names, in bounded memory, and in a file that outlives the daemon.
package memory

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// The bounds of a Memory.
const (
	MaxKeys  = 1024 // names
	MaxKey   = 128  // bytes of a name
	MaxValue = 1024 // bytes of a text
)

// ErrFull is the error of a Memory that holds MaxKeys names already.
var ErrFull = errors.New("there is no room")

// entry is a value, and when it is forgotten; zero for never.
type entry struct {
	value any // string, float64 or bool
	until time.Time
}

func (e entry) over(now time.Time) bool { return !e.until.IsZero() && !now.Before(e.until) }

// Memory holds values under names. It is safe for concurrent use, and waits for nothing.
type Memory struct {
	now     func() time.Time
	changed func() // called after each change

	mu      sync.Mutex
	entries map[string]entry
	version uint64 // rises with each change
}

// New returns an empty Memory that is kept nowhere and goes by a clock, such as time.Now.
func New(now func() time.Time) *Memory {
	return &Memory{now: now, changed: func() {}, entries: map[string]entry{}}
}

// Remember keeps a value, a string, a float64 or a bool, under a name for a time, or for
// good where that is 0. It takes the place of an earlier one. It is an ErrFull, or says what is
// wrong with name or value.
func (m *Memory) Remember(key string, value any, ttl time.Duration) error {
	if err := errors.Join(CheckKey(key), CheckValue(value)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if _, ok := m.entries[key]; !ok && len(m.entries) >= MaxKeys {
		maps.DeleteFunc(m.entries, func(_ string, e entry) bool { return e.over(now) })
		if len(m.entries) >= MaxKeys {
			return fmt.Errorf("%w: %d names are remembered already", ErrFull, MaxKeys)
		}
	}
	e := entry{value: value}
	if ttl > 0 {
		e.until = now.Add(ttl)
	}
	m.entries[key] = e
	m.version++
	m.changed()
	return nil
}

// Forget forgets a name. It need not be known.
func (m *Memory) Forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.entries[key]; ok {
		delete(m.entries, key)
		m.version++
		m.changed()
	}
}

// Recall returns the value under a name, unless its time is over.
func (m *Memory) Recall(key string) (value any, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[key]
	if !ok || e.over(m.now()) {
		return nil, false
	}
	return e.value, true
}

// content returns what is remembered now, and the version that this is.
func (m *Memory) content() (map[string]entry, uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	out := map[string]entry{}
	for key, e := range m.entries {
		if !e.over(now) {
			out[key] = e
		}
	}
	return out, m.version
}

// CheckKey says why a name cannot be used, if it cannot.
func CheckKey(key string) error {
	switch {
	case key == "":
		return errors.New("the name is empty")
	case len(key) > MaxKey:
		return fmt.Errorf("the name has %d bytes, and %d are the most", len(key), MaxKey)
	}
	for _, c := range key {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return fmt.Errorf("the name %.40q has characters that cannot be printed", key)
		}
	}
	return nil
}

// CheckValue says why a value cannot be kept, if it cannot.
func CheckValue(value any) error {
	switch v := value.(type) {
	case bool:
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("the value %v is no number that can be kept", v)
		}
	case string:
		if len(v) > MaxValue {
			return fmt.Errorf("the value has %d bytes, and %d are the most", len(v), MaxValue)
		}
		if !utf8.ValidString(v) {
			return fmt.Errorf("the value %.40q is not text (UTF-8)", v)
		}
	default:
		return errors.New("a value is a text, a number, true or false")
	}
	return nil
}
