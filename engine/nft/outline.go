package nft

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Outline is Image without the elements of sets: it takes little time whatever these hold.
func (c *Client) Outline() (*Image, error) {
	var im *Image
	err := c.steady(func() error {
		im = &Image{}
		return im.readOutline(c.read)
	})
	if err != nil {
		return nil, fmt.Errorf("read the ruleset: %w", err)
	}
	return im, nil
}

func (im *Image) readOutline(c *conn) error {
	for _, get := range []uint16{
		unix.NFT_MSG_GETTABLE, unix.NFT_MSG_GETCHAIN, unix.NFT_MSG_GETOBJ, unix.NFT_MSG_GETFLOWTABLE, unix.NFT_MSG_GETSET, unix.NFT_MSG_GETRULE,
	} {
		if err := c.query(get, unix.NLM_F_DUMP, unix.NFPROTO_UNSPEC, nil, im.add); err != nil {
			return err
		}
	}
	return nil
}

// Outline returns the image of the tables for which in reports true, without the elements of their sets.
func (im *Image) Outline(in func(Table) bool) *Image {
	out := im.without(func(r *record) bool { return !in(r.table) })
	for i := range out.sets {
		out.sets[i].elements = nil
	}
	return out
}
