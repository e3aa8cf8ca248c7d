package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/p4evpn/p4evpn/internal/file"
	"github.com/p4evpn/p4evpn/softswitch/shadow"
)

// newSwitchTrace accounts for one frame, without a switch.
func newSwitchTrace() *cobra.Command {
	var info, entries, output string
	var port uint32
	cmd := &cobra.Command{
		Use:   "trace --p4info FILE PROGRAM.json FRAME",
		Short: "Say what a program does with one frame",
		Long: `Runs one frame through a program and the entries of a file, without ports and
without touching any target, and says what happened: parser states, tables with
key and entry, actions with parameters, changed fields, and the frames that leave.
FRAME is in hexadecimal; blanks and colons are left out.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("--output %s: text or json", output)
			}
			config, err := loadProgram(args[0], info)
			if err != nil {
				return err
			}
			frame, err := parseFrame(args[1])
			if err != nil {
				return fmt.Errorf("FRAME: %w", err)
			}
			s, err := shadow.New(config)
			if err != nil {
				return err
			}
			if entries != "" {
				if err := insertFrom(s, entries); err != nil {
					return err
				}
			}
			a := s.Trace(port, frame)
			if output == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(a)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), a.String())
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&info, "p4info", "", "P4Info of PROGRAM.json, text format")
	f.StringVar(&entries, "entries", "", "file with a p4.v1.ReadResponse in text format: entities { ... }")
	f.Uint32Var(&port, "port", 1, "port at which the frame arrives")
	f.StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

// parseFrame reads a frame in hexadecimal; blanks, colons and ends of lines are left out.
func parseFrame(text string) ([]byte, error) {
	return hex.DecodeString(strings.NewReplacer(" ", "", ":", "", "\n", "").Replace(text))
}

// insertFrom fills a shadow with the entities of a file.
func insertFrom(s *shadow.Shadow, path string) error {
	text, err := file.Read(path, maxProgram)
	if err != nil {
		return err
	}
	read := &p4v1.ReadResponse{}
	if err := prototext.Unmarshal(text, read); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := s.Insert(read.Entities...); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
