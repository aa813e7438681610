"""The service that corrects typos with the model in use, and records corrections. It needs the extra `serve`."""
