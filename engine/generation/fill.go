package generation

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"path"
	"strings"

	"go4.org/netipx"

	"moonlatch/engine/ruleset"
)

// fill puts the content of large sets in.
func (c *change) fill(n uint64, fills []ruleset.Fill) error {
	for _, f := range fills {
		if err := c.nft.Fill(f, ruleset.Table(n)); err != nil {
			return fmt.Errorf("%w; nothing was changed", err)
		}
	}
	return nil
}

// setFile is the file of a large set's content in a generation's folder.
func setFile(f ruleset.Fill) string {
	folder := setFolder
	if f.Feed {
		folder = feedFolder
	}
	return path.Join(folder, string(f.Family), f.Set)
}

// The folders of sets' contents.
const (
	setFolder  = "sets"
	feedFolder = "feeds"
)

// writeFill writes a set's content, one prefix a line.
func writeFill(w io.Writer, f ruleset.Fill) error {
	b := bufio.NewWriterSize(w, 1<<16)
	for p := range f.Addrs.Prefixes() {
		b.Write(append(p.AppendTo(b.AvailableBuffer()), '\n'))
	}
	return b.Flush()
}

// readFill is the inverse of writeFill.
func readFill(name string, content []byte) (ruleset.Fill, error) {
	b := ruleset.AddressesBuilder{Expected: bytes.Count(content, []byte("\n"))}
	number := 0
	for line := range bytes.Lines(content) {
		number++
		p, err := netip.ParsePrefix(string(bytes.TrimSuffix(line, []byte("\n"))))
		if err != nil {
			return ruleset.Fill{}, fmt.Errorf("line %d: %w", number, err)
		}
		b.Add(netipx.RangeOfPrefix(p))
	}
	return ruleset.Fill{Family: ruleset.Family(path.Base(path.Dir(name))), Set: path.Base(name), Addrs: b.Addresses(), Feed: strings.HasPrefix(name, feedFolder+"/")}, nil
}
