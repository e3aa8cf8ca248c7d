package config

// Drops is what is said of frames that the target drops.
type Drops struct {
	// Sample is of how many of them a second, for each reason, a copy goes to the controller, which
	// `p4evpn why drop` explains; 0: 1; -1: of none.
	Sample int `yaml:"sample"`
	// ReportAbove is how many a second for one reason are an event; 0: 100; -1: any number is none.
	ReportAbove int `yaml:"report_above"`
}

// mostSamples keeps the controller from being kept busy by what is dropped.
const mostSamples = 100

func (c *checker) checkDrops() {
	d := c.file.Drops
	if d.Sample < -1 || d.Sample > mostSamples {
		c.fail("drops.sample", "%d: want 0 to %d, or -1 for none", d.Sample, mostSamples)
	}
	if d.ReportAbove < -1 {
		c.fail("drops.report_above", "%d: want frames a second, 0 for the default, or -1 for no events", d.ReportAbove)
	}
}
