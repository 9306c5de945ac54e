package nft

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// MarshalBinary writes the image as the netlink messages that make it, in this machine's byte order. It never fails.
func (im *Image) MarshalBinary() ([]byte, error) {
	var w writer
	for _, all := range [][]record{im.tables, im.chains, im.objects, im.flowtables, im.sets, im.rules} {
		for i := range all {
			r := &all[i]
			start := w.begin(message(r.typ), 0, 0, r.table.Family, 0)
			w.b = append(w.b, r.attrs...)
			w.end(start)
			for left := r.elements; len(left) > 0; {
				start := w.begin(message(unix.NFT_MSG_NEWSETELEM), 0, 0, r.table.Family, 0)
				left = w.elementList(r, left)
				w.end(start)
			}
		}
	}
	return w.b, nil
}

// ParseImage reads what MarshalBinary wrote.
func ParseImage(b []byte) (*Image, error) {
	im := &Image{}
	if err := messages(b, im.add); err != nil {
		return nil, fmt.Errorf("read an image of the ruleset: %w", err)
	}
	return im, nil
}
