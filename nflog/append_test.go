package nflog

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAppend writes an event and reads it again.
func TestAppend(t *testing.T) {
	want := Event{
		Family: 2, Hook: 1, HWProtocol: 0x800, Mark: 7, InDev: 3, OutDev: 4, UID: 1000, HasUID: true, GID: 5, HasGID: true,
		Time: time.Unix(1_700_000_000, 123_456_000), HWAddr: []byte{2, 0, 0, 0, 0, 9}, Prefix: []byte("closed:input:closed"), Payload: []byte{0x45, 0, 1},
	}
	var got Event
	if err := got.Parse(want.Family, want.Append(nil)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzParse reads attributes of any bytes. What it made of them, it writes so that it reads the same.
func FuzzParse(f *testing.F) {
	e := Event{HWProtocol: 0x86dd, Prefix: []byte("a:b:c"), Payload: []byte{0x60, 1, 2, 3, 4}, HWAddr: []byte{1, 2, 3, 4, 5, 6}, Time: time.Unix(1, 0)}
	f.Add(uint8(10), e.Append(nil))
	f.Add(uint8(2), e.Append(nil)[:30])
	f.Fuzz(func(t *testing.T, family uint8, b []byte) {
		var once, again Event
		if once.Parse(family, b) != nil || len(once.Prefix) > 128 || len(once.Payload) > 1<<15 {
			return
		}
		if err := again.Parse(family, once.Append(nil)); err != nil {
			t.Fatalf("%+v: %v", once, err)
		}
		if string(once.Prefix) != string(again.Prefix) || string(once.Payload) != string(again.Payload) || once.InDev != again.InDev || once.HWProtocol != again.HWProtocol {
			t.Errorf("%+v\n%+v", once, again)
		}
	})
}
