package control

// Location is what the databases of fw.geo know of an address; what they do not is left out.
type Location struct {
	Country string `json:"country,omitempty"` // ISO 3166-1 alpha-2, such as "DE"
	ASN     uint32 `json:"asn,omitempty"`     // the number of its network
	Network string `json:"network,omitempty"` // who runs that
}
