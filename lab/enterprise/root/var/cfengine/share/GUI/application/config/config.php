<?php // The lab's stand-in for a file of Mission Portal, which is closed.
