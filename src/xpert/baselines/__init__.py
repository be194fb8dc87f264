"""The other ways to select, behind `xpert.protocols.SelectionMethod`: what `xpert.Selector` is measured against."""
