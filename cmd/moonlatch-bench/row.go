package main

import (
	"fmt"
	"math"
)

// A row is one line of the table: one thing that is measured, and its budget.
type row struct {
	ID     string `json:"id"`
	What   string `json:"what"`
	Unit   string `json:"unit"`
	Anchor string `json:"anchor,omitempty"` // what it is compared with

	// The budget: at most so many times the anchor, at most so much. 0 is none.
	MaxRatio float64  `json:"max_ratio,omitempty"`
	Max      *float64 `json:"max,omitempty"`

	Finding *finding `json:"finding"` // nil when it could not be measured
	Missing string   `json:"missing,omitempty"`
	Ratio   float64  `json:"ratio,omitempty"`
	Held    *bool    `json:"held"`            // nil without a budget, without a finding, and where it cannot be told
	Doubt   string   `json:"doubt,omitempty"` // why it cannot be told
}

// A finding is what came out for a row.
type finding struct {
	Measured float64 `json:"measured"`
	Anchor   float64 `json:"anchor,omitempty"` // measured in the same run, in the same unit
	Samples  int     `json:"samples,omitempty"`
	Reduced  bool    `json:"reduced,omitempty"` // less was measured than the row says: its budget does not apply
	Note     string  `json:"note,omitempty"`
}

// The units. Everything is a number in one of them.
const (
	nanoseconds  = "ns"
	milliseconds = "ms"
	seconds      = "s"
	megabytes    = "MB"
	perSecond    = "/s"
	percent      = "%"
	count        = ""
)

func most(n float64) *float64 { return &n }

// judge says whether the row's budget was held.
func (r *row) judge() {
	f := r.Finding
	if f == nil {
		return
	}
	if f.Anchor > 0 {
		r.Ratio = f.Measured / f.Anchor
	}
	held := true
	switch {
	case r.MaxRatio == 0 && r.Max == nil:
		return
	case f.Reduced:
		r.Doubt = "less was measured"
		return
	case r.MaxRatio > 0:
		held = r.Ratio > 0 && r.Ratio <= r.MaxRatio
	default:
		held = f.Measured <= *r.Max
		if !held && f.Anchor > *r.Max/2 {
			r.Doubt = "a busy machine: the anchor alone used up half of it or more"
			return
		}
	}
	r.Held = &held
}

// budget writes the row's budget for people.
func (r *row) budget() string {
	switch {
	case r.MaxRatio > 0:
		return fmt.Sprintf("≤ %s ×", short(r.MaxRatio))
	case r.Max != nil:
		return "≤ " + quantity(*r.Max, r.Unit)
	}
	return "–"
}

func quantity(v float64, unit string) string {
	if unit == perSecond || unit == percent || unit == count {
		return short(v) + unit
	}
	return short(v) + " " + unit
}

// short writes three digits, or all before the point.
func short(v float64) string {
	switch a := math.Abs(v); {
	case v == math.Trunc(v) || a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
