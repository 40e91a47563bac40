//go:build tools

// Names what is built, so that its modules are pinned.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
