"""The compiled core and bus threads under the C compiler's sanitizers, in a copy of the tree."""
