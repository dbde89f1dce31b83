//! The one TLS configuration of the process, which all clients share.
//!
//! The system's certificates, some two hundred, are read when the first server
//! shows its own: that takes milliseconds, and a mount whose servers speak plain
//! HTTP, as those of the demo do, needs none.

use crate::error::{Error, Result};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use rustls_platform_verifier::Verifier;
use std::sync::{Arc, LazyLock, OnceLock};

static SHARED: LazyLock<(ClientConfig, Arc<System>)> = LazyLock::new(|| {
    let builder = ClientConfig::builder();
    let system = Arc::new(System {
        provider: builder.crypto_provider().clone(),
        verifier: OnceLock::new(),
    });
    let config = builder
        .dangerous()
        .with_custom_certificate_verifier(system.clone())
        .with_no_client_auth();
    (config, system)
});

/// The configuration for a client that speaks these protocols (ALPN), the
/// preferred one first.
pub(super) fn config(protocols: &[&str]) -> ClientConfig {
    let mut config = SHARED.0.clone();
    config.alpn_protocols = protocols.iter().map(|name| (*name).into()).collect();
    config
}

/// Reads the system's certificates now.
///
/// # Errors
/// [`Error::Setup`] where there are none.
pub fn require_certificates() -> Result<()> {
    match SHARED.1.verifier() {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Setup(format!(
            "no server can be checked: {error}; install the system's certificates (the package \
             ca-certificates), or name a file of them with SSL_CERT_FILE"
        ))),
    }
}

/// Checks servers as reqwest's own configuration does, with the system's
/// certificates, but reads these later.
#[derive(Debug)]
struct System {
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Verifier>,
}

impl System {
    fn verifier(&self) -> Result<&Verifier, rustls::Error> {
        if let Some(verifier) = self.verifier.get() {
            return Ok(verifier);
        }
        let verifier = Verifier::new(self.provider.clone())?;
        Ok(self.verifier.get_or_init(|| verifier))
    }
}

impl ServerCertVerifier for System {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier()?
            .verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier()?
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier()?
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
