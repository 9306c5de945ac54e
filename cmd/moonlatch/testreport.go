package main

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"moonlatch/engine/control"
	"moonlatch/engine/policytest"
)

// testReport shows how tests go.
type testReport interface {
	test(policytest.Result)
	end() error
}

func (a *app) testReport(format string) testReport {
	w := &writer{out: a.out}
	switch {
	case a.output == "json":
		return &collected{app: a, write: func(c *collected) error { return a.print(c.testResults(), nil) }}
	case format == "tap":
		return &tap{w: w}
	case format == "junit":
		return &collected{app: a, write: (*collected).junit}
	}
	return &plain{w: w, diff: diff{colours: a.colours()}, start: time.Now()}
}

// plain is for people: a line for each test, and more for those that failed.
type plain struct {
	w              *writer
	diff           diff
	start          time.Time
	passed, failed int
}

func (p *plain) test(r policytest.Result) {
	if len(r.Failures) == 0 {
		p.passed++
		p.w.linef("%s %s: %s", p.diff.paint("+", "ok  "), r.File, r.Name)
		return
	}
	p.failed++
	p.w.linef("%s %s: %s", p.diff.paint("-", "FAIL"), r.File, r.Name)
	for _, f := range r.Failures {
		for _, line := range failureLines(f) {
			p.w.linef("     %s", line)
		}
	}
}

func (p *plain) end() error {
	total := fmt.Sprintf("%s in %s", count(p.passed+p.failed, "test"), time.Since(p.start).Round(10*time.Millisecond))
	if p.failed > 0 {
		total += fmt.Sprintf(": %d failed", p.failed)
	}
	p.w.linef("%s", total)
	return p.w.err
}

// failureLines are what is to be said of a failure.
func failureLines(f policytest.Failure) []string {
	lines := strings.Split(f.Place+": "+f.Text, "\n")
	for _, t := range f.Trace {
		lines = append(lines, "  "+t)
	}
	return lines
}

// tap is the Test Anything Protocol, version 13.
type tap struct {
	w *writer
	n int
}

func (t *tap) test(r policytest.Result) {
	if t.n++; t.n == 1 {
		t.w.linef("TAP version 13")
	}
	word := "ok"
	if len(r.Failures) > 0 {
		word = "not ok"
	}
	t.w.linef("%s %d - %s", word, t.n, strings.ReplaceAll(r.Name, "#", "\\#"))
	for _, f := range r.Failures {
		for _, line := range failureLines(f) {
			t.w.linef("# %s", line)
		}
	}
}

func (t *tap) end() error {
	t.w.linef("1..%d", t.n)
	return t.w.err
}

// collected shows the results when all are there.
type collected struct {
	app     *app
	results []policytest.Result
	write   func(*collected) error
}

func (c *collected) test(r policytest.Result) { c.results = append(c.results, r) }
func (c *collected) end() error               { return c.write(c) }

// testResults is the result of all tests.
type testResults struct {
	APIVersion string              `json:"apiVersion"`
	Passed     int                 `json:"passed"`
	Failed     int                 `json:"failed"`
	Tests      []policytest.Result `json:"tests"`
}

func (c *collected) testResults() testResults {
	out := testResults{APIVersion: control.Version, Tests: c.results}
	for _, r := range c.results {
		if len(r.Failures) > 0 {
			out.Failed++
		} else {
			out.Passed++
		}
	}
	return out
}

// The elements of JUnit's reports, as continuous integration reads them.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class    string         `xml:"classname,attr"`
		Name     string         `xml:"name,attr"`
		Seconds  string         `xml:"time,attr"`
		Failures []junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func (c *collected) junit() error {
	t := c.testResults()
	suite := junitSuite{Name: "moonlatch", Tests: len(t.Tests), Failures: t.Failed}
	for _, r := range t.Tests {
		one := junitCase{Class: r.File, Name: r.Name, Seconds: fmt.Sprintf("%.3f", r.Took.Seconds())}
		for _, f := range r.Failures {
			one.Failures = append(one.Failures, junitFailure{f.Text, strings.Join(failureLines(f), "\n")})
		}
		suite.Cases = append(suite.Cases, one)
	}
	b, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.app.out, "%s%s\n", xml.Header, b)
	return err
}
